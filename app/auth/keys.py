"""API keys, from settings and from a file that is read again when it changes."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""How often the key file is looked at, at most."""


class Keys:
    """Only digests are kept and compared: of one length, so no comparison tells a key's length."""

    def __init__(self, keys: Sequence[str], file: Path | None, *, look_s: float = LOOK_S) -> None:
        """`keys` empty and `file` None: there are none."""
        self._given = _digests(key.encode("utf-8", "surrogateescape") for key in keys)
        self._taken = self._given
        self._file = file
        self._seen: tuple[int, int, int] | None = None
        self._problem = ""
        self._look_s = look_s
        self._next_look_at = 0.0
        self.are_set = bool(keys) or file is not None
        if file is not None:
            self._look(file)

    def caller(self, digests: Sequence[bytes]) -> str | None:
        """A name for the key of which one of `digests` is; None when it is of no key."""
        if self._file is not None and time.monotonic() >= self._next_look_at:
            self._look(self._file)
        caller = None
        for given in digests:
            for number, key in enumerate(self._taken, 1):
                if hmac.compare_digest(given, key):
                    caller = f"key-{number}"  # and on: how long it takes tells nothing of which key
        return caller

    def _look(self, file: Path) -> None:
        """Read the file when it has changed; keep the keys when it cannot be read."""
        self._next_look_at = time.monotonic() + self._look_s
        try:
            status = file.stat()
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
            if seen == self._seen:
                return
            keys = file.read_bytes().removeprefix(b"\xef\xbb\xbf").replace(b",", b"\n").split()
        except OSError as error:
            if self._problem != str(error.strerror):
                self._problem = str(error.strerror)
                logger.warning(
                    "the file of API keys cannot be read (%s); the keys before stay valid",
                    error.strerror,
                )
            return
        self._taken, self._seen, self._problem = [*self._given, *_digests(keys)], seen, ""
        logger.info("the file of API keys holds %d", len(keys))


def _digests(keys: Iterable[bytes]) -> list[bytes]:
    return [hashlib.sha256(key).digest() for key in keys]
