"""The way to one destination: a bounded queue, and a thread that nobody waits for."""

from __future__ import annotations

from collections import deque
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from app.telemetry.insights.relay import THREADS, Seldom, logger
from app.telemetry.insights.requests import Note, Request

if TYPE_CHECKING:
    from app.telemetry.insights import Destination

_PERIOD_S: Final = 1.0
_MOST_KEPT: Final = 1000
_AT_ONCE: Final = 8
"""Sent together; making them ready keeps the event loop waiting for some milliseconds."""
_PAUSE_S: Final = 0.05
"""Until the next ones."""


class Outlet:
    """Sends in the background; what does not fit into its queue is dropped and counted."""

    def __init__(self, destination: Destination) -> None:
        self.dropped = 0
        self._destination = destination
        self._name = type(destination).__name__
        self._queue: deque[Request | Note] = deque()
        self._closing = Event()
        self._seldom = Seldom()
        self._told = 0
        self._thread = Thread(target=self._run, name=f"{THREADS}-{self._name}", daemon=True)
        self._thread.start()

    def put(self, told: Request | Note) -> None:
        """Never blocks; in one thread."""
        if len(self._queue) >= _MOST_KEPT:
            self.dropped += 1
        else:
            self._queue.append(told)

    def close(self) -> None:
        """What is there is still sent, if the process lives long enough."""
        self._closing.set()

    def has_ended(self, timeout_s: float) -> bool:
        """Wait until it has."""
        self._thread.join(max(0.0, timeout_s))
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._closing.wait(_PERIOD_S):
            self._send_all()
        self._send_all()
        self._destination.close()

    def _send_all(self) -> None:
        while self._queue:
            told = [self._queue.popleft() for _ in range(min(_AT_ONCE, len(self._queue)))]
            requests = [each for each in told if isinstance(each, Request)]
            notes = [each for each in told if isinstance(each, Note)]
            try:
                self._destination.send(requests, notes)
            except Exception as error:  # noqa: BLE001  # the top of this thread, which must live on
                if self._seldom.allows():
                    logger.warning("%s: nothing sent: %s", self._name, type(error).__name__)
            if self._queue:
                self._closing.wait(_PAUSE_S)
        if self.dropped > self._told and self._seldom.allows():
            self._told = self.dropped
            logger.warning("%s takes too little: %d not sent so far", self._name, self.dropped)
