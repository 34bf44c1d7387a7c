"""What the libraries of telemetry say of themselves: told seldom, without the key, never sent."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Final

logger = logging.getLogger("app.telemetry.insights")

THREADS: Final = "telemetry"
"""How the names of the threads begin whose lines are not sent: each sending would cause another."""
_LIBRARIES: Final = ("azure.monitor", "opencensus", "opentelemetry")
_PAUSE_S: Final = 60.0
_LONGEST: Final = 300


class Seldom:
    """At most once a minute."""

    def __init__(self) -> None:
        self._next = 0.0

    def allows(self) -> bool:
        """Whether it is time again; then the next minute begins."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _PAUSE_S
        return True


class Relay(logging.Handler):
    """Takes the place of all other handlers for the libraries' loggers, while it is open."""

    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__(logging.WARNING)
        self._secrets = secrets
        self._seldom = Seldom()
        self._loggers = [logging.getLogger(name) for name in _LIBRARIES]

    def open(self) -> None:
        """From now on."""
        for library in self._loggers:
            library.addHandler(self)
            library.setLevel(logging.WARNING)
            library.propagate = False

    def close(self) -> None:
        """Their lines go where they went before."""
        for library in self._loggers:
            library.removeHandler(self)
            library.setLevel(logging.NOTSET)
            library.propagate = True
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`; not all of a line, as some hold the body that was refused."""
        if not self._seldom.allows():
            return
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  # a library that misspells its own line
            message = str(record.msg)
        for secret in self._secrets:
            message = message.replace(secret, "***")
        logger.warning("telemetry is not taken: %s", message[:_LONGEST])
