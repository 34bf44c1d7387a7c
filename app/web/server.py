"""The HTTP server: takes its address before anything is loaded, and is held back on SIGTERM until
those who send requests have heard of it."""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import socket
from collections.abc import Sequence
from functools import partial
from types import FrameType
from typing import Final

import uvicorn

from app.web.connection import Connection
from app.web.front import Front
from app.web.health import Draining
from app.web.outbox import Outbox

logger = logging.getLogger(__name__)

_BACKLOG: Final = 2048


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
    ) -> None:
        super().__init__(config)
        self._draining = draining
        self._drain_s = drain_s
        self._listeners = listeners

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal. Blocking; in the main thread."""
        super().run(sockets or self._listeners)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server`."""
        await super().startup(sockets)
        for listener in self._listeners:
            host, port = listener.getsockname()[:2]
            logger.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)

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


def listen(host: str, port: int) -> list[socket.socket]:
    """A socket on each address of `host`; who connects now waits until the server runs.

    Raises:
        OSError: an address is in use or not ours, or the name is unknown.
    """
    sockets: list[socket.socket] = []
    refused: OSError | None = None
    flags = socket.AI_PASSIVE
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    for family, kind, protocol, _, address in dict.fromkeys(found):
        taken = sockets[0].getsockname()[1] if sockets and port == 0 else port
        try:
            sockets.append(_bound(family, kind, protocol, (address[0], taken, *address[2:])))
        except OSError as error:
            # `localhost` may stand for ::1 where there is no IPv6
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                _close(sockets)
                raise
            refused = error
    if refused is not None and not sockets:
        raise refused
    return sockets


def _bound(family: int, kind: int, protocol: int, address: Sequence[object]) -> socket.socket:
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(tuple(address))
        listener.listen(_BACKLOG)  # two that are bound may share an address, two listeners not
    except OSError:
        listener.close()
        raise
    return listener


def _close(sockets: Sequence[socket.socket]) -> None:
    for listener in sockets:
        listener.close()


def server(
    app: Front,
    draining: Draining,
    listeners: list[socket.socket],
    *,
    drain_s: float,
    timeout_s: float,
) -> Server:
    """A server of `app`; requests inside when it stops have `timeout_s` to end."""
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
    return Server(config, draining, drain_s, listeners)
