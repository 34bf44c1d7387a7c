"""What the workers of one run have counted, each in a file of its own that all of them read."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

logger = logging.getLogger(__name__)

SHARE_S: Final = 1.0
"""How often each worker writes: what it loses at most when it is killed."""
_GONE_S: Final = 5.0
"""Who has not written for so long is no longer there."""


class Siblings:
    """The files of one run. Its methods block, for as long as a small file takes."""

    def __init__(self, folder: Path, worker: int) -> None:
        self._folder = folder
        self._own = folder / f"{worker}.json"
        self._has_failed = False

    def write(self, told: dict[str, Any]) -> None:
        """For the others, and for the worker that takes this one's place when it dies."""
        partial = self._own.with_suffix(".partial")
        try:
            partial.write_bytes(orjson.dumps({"at_s": time.monotonic(), **told}))
            partial.replace(self._own)
        except OSError as error:
            if not self._has_failed:
                text = "counts of the workers cannot be shared, /metrics tells of one: %s"
                logger.warning(text, error.strerror)
            self._has_failed = True

    def before(self) -> dict[str, Any] | None:
        """What the worker told last whose place this one has taken."""
        return _read(self._own)

    def others(self) -> Iterator[tuple[dict[str, Any], bool]]:
        """What each other worker told last, and whether it is still there."""
        for path in self._folder.glob("*.json"):
            told = _read(path) if path != self._own else None
            if told is not None:
                yield told, time.monotonic() - told["at_s"] < _GONE_S


def _read(path: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        told = orjson.loads(path.read_bytes())
        assert isinstance(told, dict)
        return told
    return None
