"""The ASGI application that the server sees: sends each request on, and tells exporters of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, MutableMapping, Sequence
from typing import Any, Final, Protocol

from app.errors import ServingError
from app.telemetry import Exporter, Trace
from app.web.exchange import Application, Message, Receive, Send
from app.web.health import Draining

logger = logging.getLogger(__name__)

_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_CLOSE: Final = (b"connection", b"close")


class Endpoint(Protocol):
    """An application that fills the trace of its requests itself."""

    def takes(self, path: str) -> bool:
        """Whether requests for `path` are its own."""
        ...

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send, trace: Trace
    ) -> None:
        """One request."""
        ...


class Front:
    """Scoring goes straight to its endpoint; FastAPI serves the rest."""

    def __init__(
        self, score: Endpoint, rest: Application, exporters: Sequence[Exporter], draining: Draining
    ) -> None:
        self._score = score
        self._rest = rest
        self._exporters = exporters
        self._draining = draining

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """See the ASGI 3.0 specification."""
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        trace = Trace(method if method in _METHODS else "_OTHER")
        if self._draining.has_begun:
            send = _closing(send)
        try:
            if self._score.takes(path):
                await self._score(scope, receive, send, trace)
            else:
                await self._rest_of(scope, receive, send, trace)
        finally:
            trace.end(trace.status)
            for exporter in self._exporters:
                exporter.record(trace)

    async def _rest_of(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send, trace: Trace
    ) -> None:
        is_answered = False

        async def send_on(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                trace.status = message["status"]
                if trace.status >= 400:  # these answers have an id
                    _name(trace, message["headers"])
            await send(message)
            is_answered = message["type"] == "http.response.body" and not message.get("more_body")

        trace.traceparent = dict(scope["headers"]).get(b"traceparent")
        if scope["method"] == "HEAD":  # the server leaves the body out (RFC 9110, section 9.3.2)
            scope = {**scope, "method": "GET"}
        try:
            await self._rest(scope, receive, send_on)
        except Exception:  # a bug, which Starlette raises again after its answer
            if not is_answered:
                raise
            trace.code = ServingError.code
            told = {"request_id": trace.request_id}
            logger.exception("a bug; request id %s", trace.request_id, extra=told)
        trace.route = getattr(scope.get("route"), "path", trace.route)


def _name(trace: Trace, headers: Iterable[tuple[bytes, bytes]]) -> None:
    for name, value in headers:
        if name == b"x-request-id":
            trace.request_id = value.decode("latin-1")


def _closing(send: Send) -> Send:
    """`send`, telling the client that this connection ends with the answer."""

    async def send_close(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), _CLOSE]
        await send(message)

    return send_close
