"""`/score`: the generic request of any model, and its error envelope (docs/protocols.md)."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, NoReturn
from urllib.parse import parse_qs

import orjson

from app.auth import Auth
from app.batching import Predicted
from app.catalog import Catalog
from app.engine import Engine, Query
from app.errors import (
    BadRequest,
    DeadlineExceeded,
    MethodNotAllowed,
    ModelFailed,
    NotFound,
    SchemaMismatch,
    ServingError,
    Unauthenticated,
    UnsupportedMediaType,
)
from app.ids import IdSource, RequestIds
from app.limits import Receive
from app.pool import Loaded
from app.protocols import pieces
from app.schema import Schema
from app.schema.results import results
from app.telemetry import Trace
from app.tensors import Call, Reply

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_JSON: Final = (b"content-type", b"application/json")
_FORM_TYPES: Final = ("application/x-www-form-urlencoded", "text/plain")
"""What curl --data and browsers call a body that is JSON all the same."""
_ALLOW: Final = "GET, HEAD, POST, OPTIONS"
_MAX_DIGITS: Final = 15
"""Of a number in a header; Python refuses to read very long ones."""
MAX_ID_LENGTH: Final = 100
"""Characters of a request's id that are logged and told."""


class ScoreCodec:
    """`{"data": ...}` in, `{"results": ...}` out."""

    def parse(self, body: bytes) -> Any:
        """See `Codec`."""
        if not body:
            raise BadRequest('the body is empty; send {"data": ...}')
        try:
            return pieces.loads(body)
        except orjson.JSONDecodeError as error:
            _refuse_json(error)

    def target(self, document: Any) -> tuple[str | None, str | None]:
        """See `Codec`; the keys `model_name` and `model_version`."""
        if not isinstance(document, dict):
            return None, None
        name, version = document.get("model_name"), document.get("model_version")
        if not isinstance(name, (str, type(None))):
            raise BadRequest("model_name must be a text")
        if not isinstance(version, (str, int, type(None))) or isinstance(version, bool):
            raise BadRequest("model_version must be a text or a number")
        return name, None if version is None else str(version)

    def decode(self, document: Any, schema: Schema) -> Call:
        """See `Codec`."""
        return schema.call(document)

    def encode(self, call: Call, predicted: Predicted | None, loaded: Loaded) -> Reply:
        """See `Codec`."""
        prediction = {} if predicted is None else predicted.prediction
        answer = results(prediction, call, loaded.schema.signature)
        body = orjson.dumps(
            answer if call.bare else {"results": answer},
            option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS,
        )
        headers = [
            _JSON,
            (b"x-model-name", loaded.ref.name.encode()),
            (b"x-model-version", loaded.ref.version.encode()),
            (b"x-ms-run-function-failed", b"False"),
        ]
        if predicted is not None:
            ms = (predicted.ended_at - predicted.started_at) * 1e3
            headers.append((b"x-ms-run-fn-exec-ms", b"%.3f" % ms))
        return Reply(200, headers, body)


class ScoreEndpoint:
    """ASGI application of `/score`, `/score/{model}` and `/score/{model}/versions/{version}`."""

    def __init__(self, engine: Engine, catalog: Catalog, auth: Auth, ids: IdSource) -> None:
        self._engine = engine
        self._ids = ids
        self._catalog = catalog
        self._auth = auth
        self._codec = ScoreCodec()

    async def __call__(self, scope: Scope, receive: Receive, send: Send, trace: Trace) -> None:
        """One request; `trace` is filled, and ended by the caller."""
        headers = dict(scope["headers"])
        ids = self._ids.of(headers)
        trace.request_id = ids.request_id.decode("latin-1")[:MAX_ID_LENGTH]
        try:
            ids.check()
            reply = await self._reply(scope, headers, receive, trace)
        except ServingError as error:
            trace.code = error.code
            reply = refusal(error, trace, headers)
        except Exception:
            logger.exception("a bug; request id %s", trace.request_id)
            trace.code = ServingError.code
            bug = ServingError("an error of the server; its log has it")
            reply = refusal(bug, trace, headers)
        await _send(reply, ids, trace, headers, send)

    async def _reply(
        self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, trace: Trace
    ) -> Reply:
        name, version = self._route(scope["path"], trace)
        method = scope["method"]
        if method == "OPTIONS":
            return Reply(200, [(b"allow", _ALLOW.encode())], b"")
        caller = self._auth.verify(headers)
        if method in ("GET", "HEAD"):
            return self._usage(name)
        if method != "POST":
            raise MethodNotAllowed(f"{method} is not taken here; use POST", allow=_ALLOW)
        query = parse_qs(scope["query_string"].decode("latin-1")) if scope["query_string"] else {}
        if name is None and "model_name" in query:
            name = query["model_name"][0]
        if version is None:
            version = query.get("model_version", [None])[0]
        deployment = headers.get(b"azureml-model-deployment")
        if version is None and deployment is not None:
            version = deployment.decode("latin-1")
        asked = Query(
            name=name,
            version=version,
            caller=caller,
            receive=_checked(receive, headers),
            content_length=_whole_number(headers, b"content-length"),
            timeout_s=_timeout_s(headers),
        )
        return await self._engine.infer(asked, self._codec, trace)

    def _route(self, path: str, trace: Trace) -> tuple[str | None, str | None]:
        """The model and version that the path names."""
        match path.strip("/").split("/"):
            case ["score"]:
                trace.route = "/score"
                return None, None
            case ["score", name]:
                trace.route = "/score/{model}"
                return name, None
            case ["score", name, "versions", version]:
                trace.route = "/score/{model}/versions/{version}"
                return name, version
        raise NotFound("no such route; see /docs")

    def _usage(self, name: str | None) -> Reply:
        """What a GET is told: how to call, and what is served."""
        path = "/score/NAME" if name is None else f"/score/{name}"
        told = {
            "message": f'POST {{"data": ...}} as JSON to {path}; /docs shows each model',
            "models": self._catalog.names(),
        }
        return Reply(200, [_JSON], orjson.dumps(told))


async def score_once(engine: Engine, model: str, version: str | None, body: bytes) -> bytes:
    """The body that a POST of `body` would be answered with. Raises: ServingError."""

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body}

    query = Query(model, version, None, receive, len(body), None)
    reply = await engine.infer(query, ScoreCodec(), Trace("POST"))
    assert isinstance(reply.body, bytes)
    return reply.body


def refusal(error: ServingError, trace: Trace, given: Mapping[bytes, bytes]) -> Reply:
    """The error envelope of this family, for a request with the headers `given`."""
    faults = error.faults if isinstance(error, SchemaMismatch) else ()
    told = {
        "message": error.message,
        "code": error.code,
        "request_id": trace.request_id,
        "errors": [fault.as_dict() for fault in faults],
    }
    run_failed = isinstance(error, ModelFailed) or trace.phase in ("queue", "predict")
    headers = [_JSON, (b"x-ms-run-function-failed", b"True" if run_failed else b"False")]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(error.retry_after_s)))
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allow.encode()))
    if trace.ref is not None:
        headers.append((b"x-model-name", trace.ref.name.encode()))
        headers.append((b"x-model-version", trace.ref.version.encode()))
    # A body that may never come would be waited for on this connection (RFC 9110, section 10.1.1).
    if b"expect" in given or (isinstance(error, DeadlineExceeded) and trace.phase == "admit"):
        headers.append((b"connection", b"close"))
    return Reply(error.status, headers, orjson.dumps(told))


async def _send(
    reply: Reply, ids: RequestIds, trace: Trace, headers: Mapping[bytes, bytes], send: Send
) -> None:
    assert isinstance(reply.body, bytes)
    given = [*reply.headers, *ids.headers(), (b"content-length", b"%d" % len(reply.body))]
    if headers.get(b"x-server-timing") == b"1":
        phases = ", ".join(f"{name};dur={s * 1e3:.3f}" for name, s in trace.phases.items())
        given.append((b"server-timing", phases.encode()))
    trace.status = reply.status
    await send({"type": "http.response.start", "status": reply.status, "headers": given})
    await send({"type": "http.response.body", "body": reply.body})


def _checked(receive: Receive, headers: Mapping[bytes, bytes]) -> Receive:
    """`receive`, where the content type and encoding are ones that are taken."""
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"identity", b""):
        raise UnsupportedMediaType("send the body without Content-Encoding")
    content_type = (
        headers.get(b"content-type", b"").split(b";")[0].strip().lower().decode("latin-1")
    )
    if content_type in ("", "application/json") or content_type.endswith("+json"):
        return receive
    if content_type not in _FORM_TYPES:
        raise UnsupportedMediaType("send JSON, with Content-Type: application/json")
    is_first = True

    async def first_is_brace() -> MutableMapping[str, Any]:
        nonlocal is_first
        message = await receive()
        if is_first and message["type"] == "http.request" and message.get("body"):
            is_first = False
            if not message["body"].startswith(b"{"):
                raise UnsupportedMediaType("send JSON, with Content-Type: application/json")
        return message

    return first_is_brace


def _whole_number(headers: Mapping[bytes, bytes], name: bytes) -> int | None:
    value = headers.get(name)
    if value is None:
        return None
    if not value.isdigit() or len(value) > _MAX_DIGITS:
        raise BadRequest(f"the header {name.decode()} must be a whole number")
    return int(value)


def _timeout_s(headers: Mapping[bytes, bytes]) -> float | None:
    ms = _whole_number(headers, b"x-request-timeout-ms")
    return None if ms is None else max(ms, 1) / 1e3


def _refuse_json(error: orjson.JSONDecodeError) -> NoReturn:
    token = error.doc[error.pos : error.pos + 9].lstrip("-")
    if token.startswith(("NaN", "Infinity")):
        raise BadRequest("NaN and Infinity are not JSON; send null") from None
    raise BadRequest(
        f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
    ) from None
