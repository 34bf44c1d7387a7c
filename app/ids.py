"""The ids of one request: which come in, which go out."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.errors import IdTooLong

_MAX_LENGTH: Final = 100
_FIELD_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]+")
"""RFC 9110, section 5.5; what else came in must not go out as a header."""

_AT_ONCE: Final = 32
_VARIANT: Final = {f"{digit:x}": "89ab"[digit & 3] for digit in range(16)}


@dataclass(slots=True)
class RequestIds:
    """`x-request-id`, and the two that Azure's clients send (azureml-inference-server-http 1.5)."""

    request_id: bytes
    ms_request_id: bytes
    ms_client_request_id: bytes | None
    is_too_long: bool = False
    """An id that came in was; it is not among these."""

    def check(self) -> None:
        """Raises: IdTooLong."""
        if self.is_too_long:
            raise IdTooLong(f"an id header has more than {_MAX_LENGTH} characters")

    def headers(self) -> list[tuple[bytes, bytes]]:
        """As they go out."""
        out = [(b"x-request-id", self.request_id), (b"x-ms-request-id", self.ms_request_id)]
        if self.ms_client_request_id is not None:
            out.append((b"x-ms-client-request-id", self.ms_client_request_id))
        return out


class IdSource:
    """Makes ids from a generator of its own, which is far cheaper than asking the system each time.

    Made in each process after it was forked, so that no two make the same.
    """

    def __init__(self) -> None:
        self._random = random.Random(os.urandom(32))  # noqa: S311  # ids are no secrets
        self._made: list[bytes] = []

    def new(self) -> bytes:
        """A UUID4 (RFC 9562, section 5.4), at a fifth of the cost of `uuid.UUID`."""
        if not self._made:
            self._make()
        return self._made.pop()

    def _make(self) -> None:
        """Some at once, as most of the cost is to ask for random bytes and to write them."""
        digits = self._random.randbytes(16 * _AT_ONCE).hex()
        for at in range(0, len(digits), 32):
            bits = digits[at : at + 32]
            last = f"{_VARIANT[bits[16]]}{bits[17:20]}-{bits[20:]}"
            self._made.append(f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-{last}".encode())

    def of(self, headers: Mapping[bytes, bytes]) -> RequestIds:
        """From the headers of a request; `x-request-id` is made when absent."""
        given = headers.get(b"x-request-id")
        ms = headers.get(b"x-ms-request-id")
        client = headers.get(b"x-ms-client-request-id")
        if not (given or ms or client):
            made = self.new()
            return RequestIds(made, made, None)
        is_too_long = any(value and len(value) > _MAX_LENGTH for value in (given, ms, client))
        given, ms, client = _usable(given), _usable(ms), _usable(client)
        request_id = given or self.new()
        return RequestIds(request_id, ms or client or request_id, client or ms or None, is_too_long)


def _usable(value: bytes | None) -> bytes | None:
    if not value or len(value) > _MAX_LENGTH or not _FIELD_VALUE.fullmatch(value):
        return None
    return value
