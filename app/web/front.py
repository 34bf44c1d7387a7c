"""The ASGI application that the server sees: sends each request on, and tells exporters of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final, Protocol

from app.telemetry import Exporter, Trace
from app.web.health import Draining

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

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
        method = scope["method"]
        trace = Trace(method if method in _METHODS else "_OTHER")
        status = 500

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._draining.has_begun:
                    message["headers"] = [*message.get("headers", ()), _CLOSE]
            await send(message)

        path = scope["path"]
        try:
            if path == "/score" or path.startswith("/score/"):
                await self._score(scope, receive, send_on, trace)
            else:
                if method == "HEAD":  # the server leaves the body out (RFC 9110, section 9.3.2)
                    scope = {**scope, "method": "GET"}
                await self._rest(scope, receive, send_on)
                trace.route = getattr(scope.get("route"), "path", trace.route)
        finally:
            trace.end(status)
            for exporter in self._exporters:
                exporter.record(trace)
