"""A server of one script that stands in for azureml-inference-server-http 1.5.1.

Routes, statuses, headers and bodies are those of that server; where they are not,
docs/protocols.md says so. The probes and metrics of this service are there beside them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Final, cast
from urllib.parse import parse_qs

from app import __version__
from app.auth import Auth
from app.batching import Predicted
from app.catalog import Catalog
from app.engine import Engine, Query
from app.errors import (
    AnswerInvalid,
    DeadlineExceeded,
    ModelFailed,
    NotFound,
    ServingError,
    Unauthenticated,
)
from app.ids import IdSource, RequestIds
from app.limits import Receive
from app.pool import Loaded
from app.protocols.cors import Cors
from app.protocols.score.codec import ScoreCodec
from app.protocols.score.definitions import OfScript
from app.protocols.score.endpoint import Scope, Send
from app.protocols.score.swagger import Service, Swagger
from app.protocols.streaming import stream
from app.telemetry import Trace
from app.tensors import Apart, Call, Reply

logger = logging.getLogger(__name__)

_JSON: Final = (b"content-type", b"application/json")
_HTML: Final = (b"content-type", b"text/html; charset=utf-8")
_RAN: Final = (b"x-ms-run-function-failed", b"False")
_FAILED: Final = (b"x-ms-run-function-failed", b"True")
_ROUTES: Final[Mapping[str, tuple[str, ...]]] = {
    "/": ("GET", "HEAD", "OPTIONS"),
    "/score": ("GET", "HEAD", "OPTIONS", "POST"),
    "/swagger.json": ("GET", "HEAD", "OPTIONS"),
}
_OURS: Final = ("/livez", "/readyz", "/healthcheck", "/metrics", "/docs", "/openapi.json")
_LONGEST: Final = 100
"""Characters of an id."""
_NO_ROUTE: Final = (
    "The requested URL was not found on the server. If you entered the URL manually please check "
    "your spelling and try again."
)
_NO_METHOD: Final = "The method is not allowed for the requested URL."
_INTERNAL: Final = "An unexpected internal error occurred. Check the logs for more info."


class DropInCodec(ScoreCodec):
    """As `ScoreCodec`, without naming the model in the answer."""

    def encode(self, call: Call, predicted: Predicted | None, loaded: Loaded) -> Reply:
        """See `Codec`."""
        assert predicted is not None
        reply: Reply = predicted.prediction["reply"]
        return reply


class DropIn:
    """ASGI application of all routes but our own."""

    def __init__(
        self,
        engine: Engine,
        catalog: Catalog,
        auth: Auth,
        ids: IdSource,
        cors: Cors,
        service: Service,
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._auth = auth
        self._ids = ids
        self._cors = cors
        self._service = service
        self._codec = DropInCodec()

    def takes(self, path: str) -> bool:
        """Whether a request for `path` is answered here."""
        return path not in _OURS and not path.startswith(("/docs/", "/admin/"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send, trace: Trace) -> None:
        """One request; `trace` is filled, and ended by the caller."""
        path = "/" + scope["path"].lstrip("/")
        methods, method = _ROUTES.get(path), scope["method"]
        headers = _joined(scope["headers"])
        trace.route = path if methods else "unmatched"
        if methods is None:
            await _send(_message(404, _NO_ROUTE), [], trace, receive, send)
            return
        if method not in methods:
            await _send(_message(405, _NO_METHOD), [], trace, receive, send)
            return
        ids = self._ids.of(headers)
        trace.request_id = ids.request_id.decode("latin-1")
        trace.traceparent = headers.get(b"traceparent")
        reply, out = await self._answered(scope, path, headers, ids, receive, trace)
        out += self._cors.headers(method, headers)
        out.append((b"x-ms-server-version", f"aml-serve/{__version__}".encode()))
        if b"traceid" in headers:
            out.append((b"traceid", headers[b"traceid"]))
        await _send(reply, out, trace, receive, send)

    async def _answered(
        self,
        scope: Scope,
        path: str,
        headers: Mapping[bytes, bytes],
        ids: RequestIds,
        receive: Receive,
        trace: Trace,
    ) -> tuple[Reply, list[tuple[bytes, bytes]]]:
        """And the ids that go out with it."""
        refused, out = _checked_ids(headers, ids)
        if refused is not None:
            return refused, out
        try:
            return await self._reply(scope, path, headers, receive, trace), out
        except ServingError as error:
            trace.code = error.code
            return _refusal(error), out
        except Exception:
            told = {"request_id": trace.request_id}
            logger.exception("a bug; request id %s", trace.request_id, extra=told)
            trace.code = ServingError.code
            return _message(500, _INTERNAL), out

    async def _reply(
        self,
        scope: Scope,
        path: str,
        headers: Mapping[bytes, bytes],
        receive: Receive,
        trace: Trace,
    ) -> Reply:
        """Raises: ServingError."""
        method = scope["method"]
        if method == "OPTIONS" and path != "/score":
            return Reply(200, [_HTML, (b"allow", ", ".join(_ROUTES[path]).encode())], b"")
        if path == "/":
            return Reply(200, [_HTML], b"Healthy")
        if method == "OPTIONS" and not self._auth.is_open:
            return Reply(200, [_HTML, _RAN], b"")  # browsers ask so without a credential
        caller = await self._auth.verify(headers)
        if path == "/swagger.json":
            return self._document(scope["query_string"])
        client = scope.get("client")
        query = Query(
            self._catalog.default_name(),
            None,
            caller,
            receive,
            None,
            None,
            method=method,
            client=client[0] if client else "",
            query_string=scope["query_string"],
            request_id=trace.request_id.encode("latin-1"),
            headers=headers,
        )
        return await self._engine.infer(query, self._codec, trace)

    def _document(self, query: bytes) -> Reply:
        asked = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("version", [None])
        name = self._catalog.default_name()
        loaded = None if name is None else self._catalog.get(name)
        if loaded is None:
            raise NotFound("the script is not loaded")
        script = loaded.manifest.script
        folder = None if script is None else script.folder
        definitions = OfScript(cast(Apart, loaded.model).swagger)
        text = Swagger(self._service, definitions, folder).text(asked[0])
        return Reply(200, [_JSON, _RAN], text.encode())


def _joined(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Repeated ones by commas, as WSGI servers tell them; without names that hold `_`."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if b"_" not in name:
            found[name] = found[name] + b"," + value if name in found else value
    return found


def _checked_ids(
    headers: Mapping[bytes, bytes], ids: RequestIds
) -> tuple[Reply | None, list[tuple[bytes, bytes]]]:
    """What is refused for its ids, and the ids that go out."""
    given = headers.get(b"x-request-id")
    if given is not None and len(given) > _LONGEST:
        return _message(431, f"x-request-id must not exceed {_LONGEST} characters"), []
    others = (headers.get(b"x-ms-request-id", b""), headers.get(b"x-ms-client-request-id", b""))
    if any(len(other) > _LONGEST for other in others):
        text = f"x-ms-request-id and x-ms-client-request-id must not exceed {_LONGEST} characters"
        return _message(431, text), [(b"x-request-id", ids.request_id)]
    if given == b"" and not any(others):
        return None, []
    return None, ids.headers() if given != b"" else ids.headers()[1:]


def _refusal(error: ServingError) -> Reply:
    """Its statuses: 500 for whatever the script did."""
    if isinstance(error, AnswerInvalid):
        return _message(500, error.message)
    if isinstance(error, (ModelFailed, DeadlineExceeded)):
        reply = _message(500, error.message)
        reply.headers = [_JSON, _FAILED]
        return reply
    reply = _message(error.status, error.message)
    if isinstance(error, Unauthenticated):
        reply.headers = [*reply.headers, (b"www-authenticate", b"Bearer")]
    return reply


def _message(status: int, text: str) -> Reply:
    return Reply(status, [_JSON, _RAN], json.dumps({"message": text}).encode())


async def _send(
    reply: Reply,
    out: Sequence[tuple[bytes, bytes]],
    trace: Trace,
    receive: Receive,
    send: Send,
) -> None:
    names = {name for name, _ in out}
    headers = [*((n, v) for n, v in reply.headers if n not in names), *out]
    trace.status = reply.status
    if not isinstance(reply.body, bytes):
        await stream(reply.status, headers, reply.body, receive, send)
        return
    headers.append((b"content-length", b"%d" % len(reply.body)))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
