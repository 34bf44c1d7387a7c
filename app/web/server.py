"""The HTTP server, held back on SIGTERM until those who send requests have heard of it."""

from __future__ import annotations

import asyncio
import logging
import math
from types import FrameType

import uvicorn

from app.web.front import Front
from app.web.health import Draining

logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """On the first signal: not ready, `Connection: close`, and still accepting for `drain_s`.

    uvicorn by itself closes its listening socket at once, while load balancers still send to it.
    A second signal stops at once.
    """

    def __init__(self, config: uvicorn.Config, draining: Draining, drain_s: float) -> None:
        super().__init__(config)
        self._draining = draining
        self._drain_s = drain_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal, between two bytecodes of the main thread."""
        if self._draining.has_begun:
            self.should_exit = True
            return
        self._draining.has_begun = True
        asyncio.get_running_loop().call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        logger.info("stopping: accepting requests for %g s more", self._drain_s)
        asyncio.get_running_loop().call_later(self._drain_s, self._stop)

    def _stop(self) -> None:
        self.should_exit = True


def server(
    app: Front, draining: Draining, *, host: str, port: int, drain_s: float, timeout_s: float
) -> Server:
    """A server of `app`; requests inside when it stops have `timeout_s` to end."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        http="httptools",
        ws="none",
        timeout_graceful_shutdown=math.ceil(timeout_s),
    )
    return Server(config, draining, drain_s)
