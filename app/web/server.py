"""The HTTP server: takes its address before anything is loaded, and is held back on SIGTERM until
those who send requests have heard of it."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from functools import partial
from types import FrameType
from typing import Any

import uvicorn

from app.web.acceptor import Acceptor
from app.web.connection import Connection
from app.web.front import Front
from app.web.health import Draining
from app.web.outbox import Outbox

logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """On the first signal: not ready, `Connection: close`, and still accepting for `drain_s`.

    uvicorn by itself closes its listening socket at once, while load balancers still send to it.
    A second signal stops at once, whatever is in flight.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        draining: Draining,
        drain_s: float,
        listeners: list[socket.socket],
        acceptor: Acceptor | None,
    ) -> None:
        super().__init__(config)
        self._acceptor = acceptor
        self._draining = draining
        self._drain_s = drain_s
        self._listeners = listeners

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal. Blocking; in the main thread."""
        super().run(sockets or self._listeners)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server`."""
        await super().startup(sockets if self._acceptor is None else [])
        if self._acceptor is not None:
            self._acceptor.start(self._connected, self.server_state.connections)
        for listener in self._listeners:
            host, port = listener.getsockname()[:2]
            logger.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server`."""
        if self._acceptor is not None:
            await self._acceptor.stop()
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """See `uvicorn.Server`; ten times a second."""
        if self._acceptor is not None:
            self._acceptor.tell()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal, between two bytecodes of the main thread."""
        if self._draining.has_begun:
            self.should_exit = self.force_exit = True
            return
        self._draining.has_begun = True
        asyncio.get_running_loop().call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        logger.info("stopping: accepting requests for %g s more", self._drain_s)
        asyncio.get_running_loop().call_later(self._drain_s, self._stop)

    def _stop(self) -> None:
        self.should_exit = True

    def _connected(self) -> Connection:
        """The protocol of a new connection, as uvicorn makes it."""
        state: Any = self.lifespan.state
        return Connection(config=self.config, server_state=self.server_state, app_state=state)


def server(
    app: Front,
    draining: Draining,
    listeners: list[socket.socket],
    *,
    drain_s: float,
    timeout_s: float,
    acceptor: Acceptor | None = None,
) -> Server:
    """A server of `app`; requests inside when it stops have `timeout_s` to end.

    `acceptor`: takes the connections of listeners that are not this process' alone.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        http=partial(Connection, outbox=Outbox()),  # type: ignore[arg-type]  # all it asks is to be called
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=math.ceil(timeout_s),
    )
    return Server(config, draining, drain_s, listeners, acceptor)
