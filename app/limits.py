"""Who gets in, and how much of a body: requests in flight, per caller and in all, bytes held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any

from app.errors import BadRequest, BodyTooLarge, Overloaded, TooManyRequests

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
"""ASGI's receive callable (ASGI 3.0, HTTP)."""


class Limits:
    """The budgets of one process."""

    def __init__(
        self,
        *,
        max_in_flight: int,
        client_max_in_flight: int | None,
        body_memory_bytes: int,
        max_body_bytes: int,
    ) -> None:
        self._max_in_flight = max_in_flight
        self._client_max_in_flight = client_max_in_flight
        self._body_memory_bytes = body_memory_bytes
        self._max_body_bytes = max_body_bytes
        self._of_caller: Counter[str] = Counter()
        self.in_flight = 0
        self.body_bytes = 0
        self.shed = 0
        """Requests refused for overload since the start."""

    def admit(self, caller: str | None) -> Slot:
        """A place inside, given back when its `with` block ends.

        Raises:
            Overloaded: as many requests are inside as may be.
            TooManyRequests: as many of this caller's.
        """
        if self.in_flight >= self._max_in_flight:
            self.shed += 1
            raise Overloaded(
                f"{self._max_in_flight} requests are in flight, as many as are taken at once",
                retry_after_s=1,
            )
        most = self._client_max_in_flight
        if caller is not None and most is not None and self._of_caller[caller] >= most:
            raise TooManyRequests(
                f"{most} of your requests are in flight, as many as you may have", retry_after_s=1
            )
        return Slot(self, caller)

    def enter(self, caller: str | None) -> None:
        """Count one request in."""
        self.in_flight += 1
        if caller is not None:
            self._of_caller[caller] += 1

    def leave(self, caller: str | None, body_bytes: int) -> None:
        """Count one request, and the bytes of its body, out."""
        self.in_flight -= 1
        self.body_bytes -= body_bytes
        if caller is not None:
            self._of_caller[caller] -= 1
            if not self._of_caller[caller]:
                del self._of_caller[caller]

    def hold(self, size_bytes: int, body_bytes: int) -> None:
        """Count `size_bytes` more of a body that has then `body_bytes`.

        Raises:
            BodyTooLarge: one body over its limit.
            Overloaded: all bodies over theirs.
        """
        if body_bytes > self._max_body_bytes:
            raise BodyTooLarge(f"the body is larger than {self._max_body_bytes} bytes")
        if self.body_bytes + size_bytes > self._body_memory_bytes:
            self.shed += 1
            raise Overloaded(
                f"bodies take all of the {self._body_memory_bytes} bytes they may", retry_after_s=1
            )
        self.body_bytes += size_bytes


class Slot:
    """One request inside."""

    __slots__ = ("_body_bytes", "_caller", "_limits")

    def __init__(self, limits: Limits, caller: str | None) -> None:
        self._limits = limits
        self._caller = caller
        self._body_bytes = 0

    def __enter__(self) -> Slot:
        self._limits.enter(self._caller)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._limits.leave(self._caller, self._body_bytes)

    async def read(self, receive: Receive, content_length: int | None) -> bytes:
        """The body, counted as it comes; refused before it comes when its length is told.

        Raises:
            BodyTooLarge, Overloaded: as `Limits.hold`.
            BadRequest: the client left.
        """
        if content_length is not None:
            self._hold(content_length)
        chunks = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise BadRequest("the client left before its body had come")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._body_bytes:
                self._hold(size - self._body_bytes)
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _hold(self, size_bytes: int) -> None:
        self._limits.hold(size_bytes, self._body_bytes + size_bytes)
        self._body_bytes += size_bytes
