"""The ASGI application of `/score`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qs

import orjson

from app.auth import Auth
from app.catalog import Catalog
from app.engine import Engine, Query
from app.errors import (
    BadRequest,
    MethodNotAllowed,
    NotFound,
    ServingError,
    UnsupportedMediaType,
)
from app.ids import IdSource
from app.limits import Receive
from app.protocols.cors import Cors
from app.protocols.score.codec import JSON, ScoreCodec, is_maybe_json
from app.protocols.score.documents import Documents
from app.protocols.score.refusals import refusal
from app.protocols.streaming import stream
from app.telemetry import Trace
from app.tensors import Reply

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_ALLOW: Final = "GET, HEAD, POST, OPTIONS"
_ALLOW_DOCUMENT: Final = "GET, HEAD, OPTIONS"
_TARGET: Final = (b"model_name=", b"model_version=")
_TIMEOUT: Final = b"x-request-timeout-ms"
_MAX_DIGITS: Final = 15
"""Of a number in a header; Python refuses to read very long ones."""


class ScoreEndpoint:
    """ASGI application of `/score`, `/score/{model}` and `/score/{model}/versions/{version}`.

    And of `/swagger.json`, also below the latter two.
    """

    def __init__(
        self,
        engine: Engine,
        catalog: Catalog,
        auth: Auth,
        ids: IdSource,
        documents: Documents,
        cors: Cors | None = None,
    ) -> None:
        """`cors` None: answers have no such headers."""
        self._engine = engine
        self._ids = ids
        self._catalog = catalog
        self._auth = auth
        self._documents = documents
        self._cors = cors
        self._codec = ScoreCodec()

    def takes(self, path: str) -> bool:
        """Whether a request for `path` is answered here."""
        return path == "/score" or path.startswith("/score/") or path == "/swagger.json"

    async def __call__(self, scope: Scope, receive: Receive, send: Send, trace: Trace) -> None:
        """One request; `trace` is filled, and ended by the caller."""
        headers = dict(scope["headers"])
        ids = self._ids.of(headers)
        trace.request_id = ids.request_id.decode("latin-1")
        trace.traceparent = headers.get(b"traceparent")
        asked: Query | Reply | None = None
        try:
            ids.check()
            asked = await self._asked(scope, headers, receive, trace)
            if isinstance(asked, Query):
                reply = await self._engine.infer(asked, self._codec, trace)
            else:
                reply = asked
        except ServingError as error:
            trace.code = error.code
            loaded = asked.loaded if isinstance(asked, Query) else None
            reply = refusal(error, trace, headers, loaded)
        except Exception:
            told = {"request_id": trace.request_id}
            logger.exception("a bug; request id %s", trace.request_id, extra=told)
            trace.code = ServingError.code
            bug = ServingError("an error of the server; its log has it")
            reply = refusal(bug, trace, headers)
        given = [*reply.headers, *ids.headers()]
        if self._cors is not None:
            given = self._cors.added(given, scope["method"], headers)
        if headers.get(b"x-server-timing") == b"1":
            given.append((b"server-timing", _timing(trace)))
        trace.status = reply.status
        if not isinstance(reply.body, bytes):
            await stream(reply.status, given, reply.body, receive, send)
            return
        given.append((b"content-length", b"%d" % len(reply.body)))
        await send({"type": "http.response.start", "status": reply.status, "headers": given})
        await send({"type": "http.response.body", "body": reply.body})

    async def _asked(
        self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, trace: Trace
    ) -> Query | Reply:
        """What is to be inferred, or the answer to what needs no model."""
        name, version, trace.route, is_document = _route(scope["path"])
        method = scope["method"]
        if method == "OPTIONS":
            allow = _ALLOW_DOCUMENT if is_document else _ALLOW
            return Reply(200, [(b"allow", allow.encode())], b"")
        caller = await self._auth.verify(headers)
        query = scope["query_string"]
        if query or b"azureml-model-deployment" in headers:
            name, version = _named(name, version, query, headers)
        if is_document:
            if method not in ("GET", "HEAD"):
                raise MethodNotAllowed(f"{method} is not taken here", allow=_ALLOW_DOCUMENT)
            return await self._documents.reply(name, version, query, trace)
        if method != "POST" and not await self._is_script(name, version):
            if method in ("GET", "HEAD"):
                return self._usage(name)
            raise MethodNotAllowed(f"{method} is not taken here; use POST", allow=_ALLOW)
        if b"content-encoding" in headers:
            _check_encoding(headers)
        if headers.get(b"content-type") != JSON[1]:
            self._check_type(name, version, headers)
        client = scope.get("client")
        return Query(
            name=name or self._only_script(),
            version=version,
            caller=caller,
            receive=receive,
            content_length=_whole_number(headers, b"content-length"),
            timeout_s=_timeout_s(headers) if _TIMEOUT in headers else None,
            method=method,
            client=client[0] if client else "",
            query_string=_without_target(query) if query else query,
            request_id=trace.request_id.encode("latin-1"),
            headers=headers,
        )

    def _check_type(
        self, name: str | None, version: str | None, headers: Mapping[bytes, bytes]
    ) -> None:
        """Before the body comes, where it is known that a native model is asked.

        Raises: UnsupportedMediaType.
        """
        if is_maybe_json(headers.get(b"content-type", JSON[1])):
            return
        loaded = None if name is None else self._catalog.get(name, version)
        if loaded is not None and loaded.schema.signature.kind == "tensors":
            raise UnsupportedMediaType("send JSON, with Content-Type: application/json")

    def _only_script(self) -> str | None:
        """The default model where it is a script, whose bodies say nothing of a model."""
        try:
            name = self._catalog.default_name()
        except ServingError:
            return None
        loaded = None if name is None else self._catalog.get(name)
        is_script = loaded is not None and loaded.schema.signature.kind == "raw"
        return name if is_script else None

    async def _is_script(self, name: str | None, version: str | None) -> bool:
        """The model that is named, or the only one, takes any method."""
        try:
            name = name or self._catalog.default_name()
            if name is None:
                return False
            loaded = self._catalog.get(name, version)
            if loaded is None and name in self._catalog.names():
                loaded = await self._catalog.find(name, version)
        except ServingError:
            return False
        return loaded is not None and loaded.schema.signature.kind == "raw"

    def _usage(self, name: str | None) -> Reply:
        """What a GET is told: how to call, and what is served."""
        path = "/score/NAME" if name is None else f"/score/{name}"
        told = {
            "message": f'POST {{"data": ...}} as JSON to {path}; /docs shows each model',
            "models": self._catalog.names(),
        }
        return Reply(200, [JSON], orjson.dumps(told))


async def score_once(engine: Engine, model: str, version: str | None, body: bytes) -> bytes:
    """The body that a POST of `body` would be answered with. Raises: ServingError."""

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body}

    query = Query(model, version, None, receive, len(body), None)
    reply = await engine.infer(query, ScoreCodec(), Trace("POST"))
    assert isinstance(reply.body, bytes)
    return reply.body


@lru_cache(maxsize=256)
def _route(path: str) -> tuple[str | None, str | None, str, bool]:
    """The model and version that the path names, the template of such paths, and whether it is
    that of a document.
    """
    match path.strip("/").split("/"):
        case ["score"]:
            return None, None, "/score", False
        case ["score", name]:
            return name, None, "/score/{model}", False
        case ["score", name, "versions", version]:
            return name, version, "/score/{model}/versions/{version}", False
        case ["swagger.json"]:
            return None, None, "/swagger.json", True
        case ["score", name, "swagger.json"]:
            return name, None, "/score/{model}/swagger.json", True
        case ["score", name, "versions", version, "swagger.json"]:
            return name, version, "/score/{model}/versions/{version}/swagger.json", True
    raise NotFound("no such route; see /docs")


def _named(
    name: str | None, version: str | None, query: bytes, headers: Mapping[bytes, bytes]
) -> tuple[str | None, str | None]:
    """What the path does not name, by the query and then by the header."""
    asked = parse_qs(query.decode("latin-1"))
    name = name or asked.get("model_name", [None])[0]
    version = version or asked.get("model_version", [None])[0]
    if version is None and b"azureml-model-deployment" in headers:
        version = headers[b"azureml-model-deployment"].decode("latin-1")
    return name, version


def _timing(trace: Trace) -> bytes:
    phases = (f"{name};dur={seconds * 1e3:.3f}" for name, seconds in trace.phases.items())
    return ", ".join(phases).encode()


def _check_encoding(headers: Mapping[bytes, bytes]) -> None:
    if headers[b"content-encoding"].strip().lower() not in (b"identity", b""):
        raise UnsupportedMediaType("send the body without Content-Encoding")


def _without_target(query: bytes) -> bytes:
    """What is left for a script when the model is named."""
    return b"&".join(part for part in query.split(b"&") if not part.startswith(_TARGET))


def _whole_number(headers: Mapping[bytes, bytes], name: bytes) -> int | None:
    value = headers.get(name)
    if value is None:
        return None
    if not value.isdigit() or len(value) > _MAX_DIGITS:
        raise BadRequest(f"the header {name.decode()} must be a whole number")
    return int(value)


def _timeout_s(headers: Mapping[bytes, bytes]) -> float | None:
    ms = _whole_number(headers, _TIMEOUT)
    return None if ms is None else max(ms, 1) / 1e3
