"""What a script prints: lines of the service's log, with the model's name."""

from __future__ import annotations

import logging
import os
import threading
from typing import Final

logger = logging.getLogger(__name__)

_CHUNK_BYTES: Final = 64 * 1024
_MOST_BYTES: Final = 8 * 1024
"""Of one line; what is longer is told in parts."""


def listen(descriptor: int, label: str) -> None:
    """Log what comes from `descriptor` until its writers have gone; closes it."""
    threading.Thread(target=_log, args=(descriptor, label), name=label, daemon=True).start()


def _log(descriptor: int, label: str) -> None:
    rest = b""
    with os.fdopen(descriptor, "rb", buffering=0) as said:
        while chunk := said.read(_CHUNK_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            while len(rest) > _MOST_BYTES:
                lines.append(rest[:_MOST_BYTES])
                rest = rest[_MOST_BYTES:]
            for line in lines:
                _tell(line, label)
    if rest:
        _tell(rest, label)


def _tell(line: bytes, label: str) -> None:
    for start in range(0, max(len(line), 1), _MOST_BYTES):
        logger.info("%s: %s", label, line[start : start + _MOST_BYTES].decode(errors="replace"))
