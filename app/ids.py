"""The ids of one request: which come in, which go out."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.errors import IdTooLong

_MAX_LENGTH: Final = 100
_NAMES: Final = (b"x-request-id", b"x-ms-request-id", b"x-ms-client-request-id")


@dataclass(frozen=True, slots=True)
class RequestIds:
    """`x-request-id`, and the two that Azure's clients send (azureml-inference-server-http 1.5)."""

    request_id: bytes
    ms_request_id: bytes
    ms_client_request_id: bytes | None

    def check(self) -> None:
        """Raises: IdTooLong."""
        ids = (self.request_id, self.ms_request_id, self.ms_client_request_id or b"")
        if max(map(len, ids)) > _MAX_LENGTH:
            raise IdTooLong(f"an id header has more than {_MAX_LENGTH} characters")

    def headers(self) -> list[tuple[bytes, bytes]]:
        """As they go out; one that is too long does not."""
        values = (self.request_id, self.ms_request_id, self.ms_client_request_id)
        return [
            (name, value)
            for name, value in zip(_NAMES, values, strict=True)
            if value is not None and len(value) <= _MAX_LENGTH
        ]


class IdSource:
    """Makes ids from a generator of its own, which is far cheaper than asking the system each time.

    Made in each process after it was forked, so that no two make the same.
    """

    def __init__(self) -> None:
        self._random = random.Random(os.urandom(32))  # noqa: S311  # ids are no secrets

    def new(self) -> bytes:
        """A UUID4 (RFC 9562, section 5.4)."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4)).encode()

    def of(self, headers: Mapping[bytes, bytes]) -> RequestIds:
        """From the headers of a request; `x-request-id` is made when absent."""
        given, ms, client = (headers.get(name) for name in _NAMES)
        request_id = given or self.new()
        return RequestIds(request_id, ms or client or request_id, client or ms)
