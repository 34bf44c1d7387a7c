"""An answer of a script that comes in parts."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

_MOST_BYTES: Final = 1024**2
"""That lie here unread before the process has to wait."""


class Stream:
    """The parts from the second message on. Its process is busy until the last one."""

    def __init__(
        self,
        timeout_s: float,
        pace: Callable[[bool], None],
        leave: Callable[[], Awaitable[None]],
    ) -> None:
        """
        Args:
            timeout_s: each part comes within it.
            pace: told whether parts may come.
            leave: called when nobody reads on.
        """
        self.holds: Any = None
        """What has to live as long as this."""
        self._timeout_s = timeout_s
        self._pace = pace
        self._leave = leave
        self._parts: deque[bytes] = deque()
        self._bytes = 0
        self._has_ended = False
        self._error: Exception | None = None
        self._news = asyncio.Event()

    def feed(self, part: bytes) -> None:
        """One more has come."""
        self._parts.append(part)
        self._bytes += len(part)
        if self._bytes > _MOST_BYTES:
            self._pace(False)
        self._news.set()

    def end(self, error: Exception | None = None) -> None:
        """No more will come; `error`: though it is not whole."""
        if not self._has_ended:
            self._has_ended, self._error = True, error
            self._news.set()

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> bytes:
        """Raises: StopAsyncIteration at the end; Ended, TimeoutError: it came to none."""
        while not self._parts:
            if self._has_ended:
                self.holds = None
                raise self._error or StopAsyncIteration
            self._news.clear()
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._news.wait()
            except BaseException:
                await self.aclose()
                raise
        part = self._parts.popleft()
        self._bytes -= len(part)
        if not self._has_ended and self._bytes <= _MOST_BYTES:
            self._pace(True)
        return part

    async def aclose(self) -> None:
        """Nobody reads on; the process, in the middle of it, is ended."""
        if not self._has_ended:
            self.end()
            await self._leave()
        self.holds = None
