"""Who may call. One `verify` for every protocol."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from app.errors import Unauthenticated

logger = logging.getLogger(__name__)

_LOOK_S: Final = 1.0
"""How often the key file is looked at, at most."""


class Auth:
    """API keys, from settings and from a file that is read again when it changes."""

    def __init__(self, keys: Sequence[str], file: Path | None) -> None:
        """`keys` empty and `file` None: open to all."""
        self._given = [key.encode() for key in keys]
        self._file = file
        self._file_keys: list[bytes] = []
        self._changed_at: tuple[int, int] | None = None
        self._next_look_at = 0.0
        self.is_open = not keys and file is None
        if file is not None:
            self._look()

    def verify(self, headers: Mapping[bytes, bytes]) -> str | None:
        """Who calls: a name for the key that is no secret; None when all may call.

        Args:
            headers: lower-case names.

        Raises:
            Unauthenticated: no credential, or an unknown one.
        """
        if self.is_open:
            return None
        credential = _credential(headers)
        if credential is None:
            raise Unauthenticated("a key is needed: Authorization: Bearer KEY, or x-api-key: KEY")
        if time.monotonic() >= self._next_look_at:
            self._look()
        caller = None
        for number, key in enumerate([*self._given, *self._file_keys], 1):
            if hmac.compare_digest(credential, key):
                caller = f"key-{number}"  # and on: how long it takes tells nothing of which key
        if caller is None:
            raise Unauthenticated("the key is not known here")
        return caller

    def knows(self, headers: Mapping[bytes, bytes]) -> bool:
        """The caller may be shown names of models."""
        try:
            self.verify(headers)
        except Unauthenticated:
            return False
        return True

    def _look(self) -> None:
        """Read the file when it has changed; keep the keys when it cannot be read."""
        self._next_look_at = time.monotonic() + _LOOK_S
        if self._file is None:
            return
        try:
            status = self._file.stat()
            changed_at = (status.st_mtime_ns, status.st_ino)
            if changed_at != self._changed_at:
                text = self._file.read_text("utf-8").replace(",", "\n")
                self._file_keys = [key.strip().encode() for key in text.split() if key.strip()]
                self._changed_at = changed_at
        except (OSError, UnicodeDecodeError):
            logger.exception("the file of API keys cannot be read; the keys before stay valid")


def _credential(headers: Mapping[bytes, bytes]) -> bytes | None:
    scheme, _, value = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer" and value.strip():
        return value.strip()
    return headers.get(b"x-api-key")
