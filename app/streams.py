"""A body that comes in parts, and what its request holds until the last of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from app.tensors import Stream


class HeldStream:
    """As `stream`; `let_go` is called once, at its end or when nobody reads on."""

    def __init__(self, stream: Stream, let_go: Callable[[], None]) -> None:
        self._stream = stream
        self._parts = aiter(stream)
        self._let_go: Callable[[], None] | None = let_go

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """See `Stream`."""
        try:
            return await anext(self._parts)
        except BaseException:
            self._end()
            raise

    async def aclose(self) -> None:
        """See `Stream`."""
        try:
            await self._stream.aclose()
        finally:
            self._end()

    def _end(self) -> None:
        let_go, self._let_go = self._let_go, None
        if let_go is not None:
            let_go()
