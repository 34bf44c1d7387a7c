"""Who may call. One `verify` for every protocol."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from app.errors import Unauthenticated

logger = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""How often the key file is looked at, at most."""


class Auth:
    """API keys, from settings and from a file that is read again when it changes.

    Only digests are kept and compared: of one length, so that a comparison tells no key's length.
    """

    def __init__(self, keys: Sequence[str], file: Path | None, *, look_s: float = LOOK_S) -> None:
        """`keys` empty and `file` None: open to all."""
        self._given = _digests(key.encode("utf-8", "surrogateescape") for key in keys)
        self._file = file
        self._of_file: list[bytes] = []
        self._seen: tuple[int, int, int] | None = None
        self._problem = ""
        self._look_s = look_s
        self._next_look_at = 0.0
        self.is_open = not keys and file is None
        if file is not None:
            self._look(file)

    def verify(self, headers: Mapping[bytes, bytes]) -> str | None:
        """Who calls: a name for the key that is no secret; None when all may call.

        Args:
            headers: lower-case names.

        Raises:
            Unauthenticated: no credential, or an unknown one.
        """
        if self.is_open:
            return None
        if self._file is not None and time.monotonic() >= self._next_look_at:
            self._look(self._file)
        credentials = _credentials(headers)
        if not credentials:
            raise Unauthenticated("a key is needed: Authorization: Bearer KEY, or x-api-key: KEY")
        caller = None
        for given in _digests(credentials):
            for number, key in enumerate((*self._given, *self._of_file), 1):
                if hmac.compare_digest(given, key):
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
        self._of_file, self._seen, self._problem = _digests(keys), seen, ""
        logger.info("the file of API keys holds %d", len(self._of_file))


def _digests(keys: Iterable[bytes]) -> list[bytes]:
    return [hashlib.sha256(key).digest() for key in keys]


def _credentials(headers: Mapping[bytes, bytes]) -> list[bytes]:
    """What could be a key; a gateway may add an Authorization of its own to the caller's key."""
    scheme, _, value = headers.get(b"authorization", b"").strip().partition(b" ")
    bearer = value.strip() if scheme.lower() == b"bearer" else b""
    given = (bearer, headers.get(b"x-api-key", b"").strip())
    return [credential for credential in given if credential]
