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
_NAMES: Final = (b"x-request-id", b"x-ms-request-id", b"x-ms-client-request-id")
_FIELD_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]+")
"""RFC 9110, section 5.5; what else came in must not go out as a header."""

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
        values = (self.request_id, self.ms_request_id, self.ms_client_request_id)
        return [(n, v) for n, v in zip(_NAMES, values, strict=True) if v is not None]


class IdSource:
    """Makes ids from a generator of its own, which is far cheaper than asking the system each time.

    Made in each process after it was forked, so that no two make the same.
    """

    def __init__(self) -> None:
        self._random = random.Random(os.urandom(32))  # noqa: S311  # ids are no secrets

    def new(self) -> bytes:
        """A UUID4 (RFC 9562, section 5.4), at half the cost of `uuid.UUID`."""
        bits = self._random.randbytes(16).hex()
        last = f"{_VARIANT[bits[16]]}{bits[17:20]}-{bits[20:]}"
        text = f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-{last}"
        return text.encode()

    def of(self, headers: Mapping[bytes, bytes]) -> RequestIds:
        """From the headers of a request; `x-request-id` is made when absent."""
        came = [headers.get(name) for name in _NAMES]
        given, ms, client = came
        is_too_long = False
        if given or ms or client:
            is_too_long = any(value and len(value) > _MAX_LENGTH for value in came)
            given, ms, client = map(_usable, came)
        request_id = given or self.new()
        return RequestIds(request_id, ms or client or request_id, client or ms or None, is_too_long)


def _usable(value: bytes | None) -> bytes | None:
    if not value or len(value) > _MAX_LENGTH or not _FIELD_VALUE.fullmatch(value):
        return None
    return value
