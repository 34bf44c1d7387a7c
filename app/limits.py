"""Who gets in, with how much: requests in flight, bytes of bodies, time left to wait."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any, Final

from app.errors import (
    BodyTooLarge,
    ClientLeft,
    Overloaded,
    TooManyRequests,
)
from app.turns import Turn, Turns

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
"""ASGI's receive callable (ASGI 3.0, HTTP)."""

LARGE_BODY_BYTES: Final = 128 * 1024
"""Bodies from here on are read in turns, decoded in a thread, and not predicted on the loop."""
_TURNS_BYTES: Final = 2 * 1024**2
"""Of large bodies that are read or decoded at once."""
_SHARE: Final = 4
"""Times as many places as are free one model may have, so that others always find some."""
_MOST_RETRY_S: Final = 60


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
        self.turns = Turns(_TURNS_BYTES)
        self.in_flight = 0
        self.body_bytes = 0
        self.shed = 0
        """Requests refused for overload since the start."""

    def admit(self, caller: str | None) -> Slot:
        """A place inside, taken at once and given back when its `with` block ends.

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
        self.in_flight += 1
        if caller is not None:
            self._of_caller[caller] += 1
        return Slot(self, caller)

    def line_up(self, inside: int, wait_s: float, left_s: float, *, is_only: bool) -> None:
        """Let a request that is inside wait for its model, where that may be of use.

        Args:
            inside: requests that the model has already.
            wait_s: what this one will wait at least.
            left_s: its time until the deadline.
            is_only: no other model is served.

        Raises:
            Overloaded: its turn would come too late, or the model has all the places it may.
        """
        if wait_s > left_s:
            self.shed += 1
            raise Overloaded(
                f"requests of about {wait_s:.1f} s wait for this model, and the deadline is in "
                f"{max(0.0, left_s):.1f} s",
                retry_after_s=min(_MOST_RETRY_S, math.ceil(wait_s - left_s)),
            )
        free = self._max_in_flight - self.in_flight + 1
        if not is_only and inside > _SHARE * free:
            self.shed += 1
            raise Overloaded(
                f"{inside} requests wait for this model, as many as may while others are served",
                retry_after_s=1,
            )

    def leave(self, caller: str | None, body_bytes: int) -> None:
        """Count one request, and the bytes of its body, out."""
        self.in_flight -= 1
        self.body_bytes -= body_bytes
        if caller is not None:
            self._of_caller[caller] -= 1
            if not self._of_caller[caller]:
                del self._of_caller[caller]

    def check(self, body_bytes: int) -> None:
        """Raises: BodyTooLarge when one body must not have so many."""
        if body_bytes > self._max_body_bytes:
            raise BodyTooLarge(f"the body is larger than {self._max_body_bytes} bytes")

    def hold(self, size_bytes: int) -> None:
        """Count `size_bytes` more of bodies. Raises: Overloaded when all together are too many."""
        if self.body_bytes + size_bytes > self._body_memory_bytes:
            self.shed += 1
            raise Overloaded(
                f"bodies take all of the {self._body_memory_bytes} bytes they may", retry_after_s=1
            )
        self.body_bytes += size_bytes


class Slot:
    """One request inside."""

    __slots__ = ("_body_bytes", "_caller", "_is_kept", "_limits", "_turn")

    def __init__(self, limits: Limits, caller: str | None) -> None:
        self._limits = limits
        self._caller = caller
        self._body_bytes = 0
        self._turn: Turn | None = None
        self._is_kept = False

    def __enter__(self) -> Slot:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._is_kept:
            self._leave()

    async def read(self, receive: Receive, content_length: int | None) -> bytes:
        """The body, counted as it comes; refused before it comes when its length is told.

        A large one whose length is told has a turn from here to `end_turn`.

        Raises:
            BodyTooLarge, Overloaded: as `Limits.hold`.
            ClientLeft: before its body had come.
        """
        if content_length is not None:
            self._limits.check(content_length)
            if content_length >= LARGE_BODY_BYTES:
                self._turn = await self._limits.turns.begin(content_length)
            self._hold(content_length)
        body = await self._all_of(receive)
        if self._turn is not None:
            self._turn.hold()
        return body

    def keep(self) -> Callable[[], None]:
        """It stays beyond its `with` block, until what this gives is called."""
        self._is_kept = True
        return self._leave

    def _leave(self) -> None:
        self._limits.leave(self._caller, self._body_bytes)
        self.end_turn()

    def end_turn(self) -> None:
        """The body is decoded."""
        if self._turn is not None:
            self._turn.end()

    async def _all_of(self, receive: Receive) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft("the client left before its body had come")
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > self._body_bytes:
                self._hold(size - self._body_bytes)
            is_last = not message.get("more_body", False)
            if is_last and not chunks:
                return chunk
            chunks.append(chunk)
            if is_last:
                return b"".join(chunks)

    def _hold(self, size_bytes: int) -> None:
        self._limits.check(self._body_bytes + size_bytes)
        self._limits.hold(size_bytes)
        self._body_bytes += size_bytes
