"""`/score`: the generic request of any model, and its error envelope (docs/protocols.md)."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Final
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
from app.ids import IdSource
from app.limits import Receive
from app.pool import Loaded
from app.schema import Schema
from app.schema.document import loads
from app.schema.results import results
from app.telemetry import Trace
from app.tensors import Call, Reply

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_JSON: Final = (b"content-type", b"application/json")
_RAN: Final = (b"x-ms-run-function-failed", b"False")
_FORM_TYPES: Final = ("application/x-www-form-urlencoded", "text/plain")
"""What curl --data and browsers call a body that is JSON all the same."""
_ALLOW: Final = "GET, HEAD, POST, OPTIONS"
_MAX_DIGITS: Final = 15
"""Of a number in a header; Python refuses to read very long ones."""


class ScoreCodec:
    """`{"data": ...}` in, `{"results": ...}` out."""

    def target(self, body: bytes) -> tuple[str | None, str | None]:
        """See `Codec`; the keys `model_name` and `model_version`."""
        if b"model_" not in body and b"\\" not in body:  # an escape may spell it as well
            return None, None
        document = loads(body)
        if not isinstance(document, dict):
            return None, None
        name, version = document.get("model_name"), document.get("model_version")
        if not isinstance(name, (str, type(None))):
            raise BadRequest("model_name must be a text")
        if not isinstance(version, (str, int, type(None))) or isinstance(version, bool):
            raise BadRequest("model_version must be a text or a number")
        return name, None if version is None else str(version)

    def decode(self, body: bytes, schema: Schema) -> Call:
        """See `Codec`."""
        return schema.read(body)

    def encode(self, call: Call, predicted: Predicted | None, loaded: Loaded) -> Reply:
        """See `Codec`."""
        prediction = {} if predicted is None else predicted.prediction
        answer = results(prediction, call, loaded.schema.signature)
        body = orjson.dumps(
            answer if call.bare else {"results": answer},
            option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS,
        )
        headers = [_JSON, _RAN, *loaded.headers]
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
        trace.request_id = ids.request_id.decode("latin-1")
        trace.traceparent = headers.get(b"traceparent")
        try:
            ids.check()
            asked = await self._asked(scope, headers, receive, trace)
            if isinstance(asked, Query):
                reply = await self._engine.infer(asked, self._codec, trace)
            else:
                reply = asked
        except ServingError as error:
            trace.code = error.code
            reply = refusal(error, trace, headers)
        except Exception:
            told = {"request_id": trace.request_id}
            logger.exception("a bug; request id %s", trace.request_id, extra=told)
            trace.code = ServingError.code
            bug = ServingError("an error of the server; its log has it")
            reply = refusal(bug, trace, headers)
        assert isinstance(reply.body, bytes)
        given = [*reply.headers, *ids.headers(), (b"content-length", b"%d" % len(reply.body))]
        if headers.get(b"x-server-timing") == b"1":
            given.append((b"server-timing", _timing(trace)))
        trace.status = reply.status
        await send({"type": "http.response.start", "status": reply.status, "headers": given})
        await send({"type": "http.response.body", "body": reply.body})

    async def _asked(
        self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, trace: Trace
    ) -> Query | Reply:
        """What is to be inferred, or the answer to what needs no model."""
        name, version, trace.route = _route(scope["path"])
        method = scope["method"]
        if method == "OPTIONS":
            return Reply(200, [(b"allow", _ALLOW.encode())], b"")
        caller = await self._auth.verify(headers)
        if method in ("GET", "HEAD"):
            return self._usage(name)
        if method != "POST":
            raise MethodNotAllowed(f"{method} is not taken here; use POST", allow=_ALLOW)
        if scope["query_string"]:
            query = parse_qs(scope["query_string"].decode("latin-1"))
            name = name or query.get("model_name", [None])[0]
            version = version or query.get("model_version", [None])[0]
        if version is None and b"azureml-model-deployment" in headers:
            version = headers[b"azureml-model-deployment"].decode("latin-1")
        return Query(
            name=name,
            version=version,
            caller=caller,
            receive=_checked(receive, headers),
            content_length=_whole_number(headers, b"content-length"),
            timeout_s=_timeout_s(headers),
            request_id=trace.request_id.encode("latin-1"),
            headers=headers,
        )

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


@lru_cache(maxsize=256)
def _route(path: str) -> tuple[str | None, str | None, str]:
    """The model and version that the path names, and the template of such paths."""
    match path.strip("/").split("/"):
        case ["score"]:
            return None, None, "/score"
        case ["score", name]:
            return name, None, "/score/{model}"
        case ["score", name, "versions", version]:
            return name, version, "/score/{model}/versions/{version}"
    raise NotFound("no such route; see /docs")


def _timing(trace: Trace) -> bytes:
    phases = (f"{name};dur={seconds * 1e3:.3f}" for name, seconds in trace.phases.items())
    return ", ".join(phases).encode()


def _checked(receive: Receive, headers: Mapping[bytes, bytes]) -> Receive:
    """`receive`, where the content type and encoding are ones that are taken."""
    if headers.get(b"content-type") == _JSON[1] and b"content-encoding" not in headers:
        return receive
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
