"""The ASGI application that the server sees: sends each request on, and tells exporters of it."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any, Final, Protocol

from app.telemetry import Exporter, Trace
from app.web.exchange import Application, Message, Receive, Send
from app.web.health import Draining

_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_CLOSE: Final = (b"connection", b"close")


class Endpoint(Protocol):
    """An application that fills the trace of its requests itself."""

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
            if path == "/score" or path.startswith("/score/"):
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
        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                trace.status = message["status"]
            await send(message)

        if scope["method"] == "HEAD":  # the server leaves the body out (RFC 9110, section 9.3.2)
            scope = {**scope, "method": "GET"}
        await self._rest(scope, receive, send_on)
        trace.route = getattr(scope.get("route"), "path", trace.route)


def _closing(send: Send) -> Send:
    """`send`, telling the client that this connection ends with the answer."""

    async def send_close(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), _CLOSE]
        await send(message)

    return send_close
