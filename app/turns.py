"""Large bodies take turns: some are read and decoded at once, first come first served.

Otherwise as many lie in memory as there are connections, each half read, and each waits for all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

READING_S: Final = 0.01
"""For so long a turn waits for the rest of its body; a slow client holds up nobody for longer."""


class Turns:
    """So many bytes of bodies at once."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._free_bytes = size_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def begin(self, size_bytes: int) -> Turn:
        """The turn of a body, when those before it have had theirs; one that is larger than all is
        alone."""
        size_bytes = min(size_bytes, self._size_bytes)
        if not self._waiting and size_bytes <= self._free_bytes:
            self._free_bytes -= size_bytes
            return Turn(self, size_bytes)
        granted = asyncio.get_running_loop().create_future()
        self._waiting.append((size_bytes, granted))
        try:
            await granted
        except asyncio.CancelledError:
            was_granted = granted.done() and not granted.cancelled()
            self.end(size_bytes if was_granted else 0)
            raise
        return Turn(self, size_bytes)

    def end(self, size_bytes: int) -> None:
        """Give `size_bytes` to those who wait."""
        self._free_bytes += size_bytes
        while self._waiting:
            needed_bytes, granted = self._waiting[0]
            if not granted.done():
                if needed_bytes > self._free_bytes:
                    return
                self._free_bytes -= needed_bytes
                granted.set_result(None)
            self._waiting.popleft()


class Turn:
    """Of one body; ends by itself when that is long in coming."""

    __slots__ = ("_handle", "_is_over", "_size_bytes", "_turns")

    def __init__(self, turns: Turns, size_bytes: int) -> None:
        self._turns = turns
        self._size_bytes = size_bytes
        self._is_over = False
        self._handle = asyncio.get_running_loop().call_later(READING_S, self.end)

    def hold(self) -> None:
        """The body has come: the turn lasts until `end`."""
        self._handle.cancel()

    def end(self) -> None:
        """The body is no longer needed; harmless when the turn is over already."""
        self._handle.cancel()
        if not self._is_over:
            self._is_over = True
            self._turns.end(self._size_bytes)
