"""The bytes that models may take together: which of them are pinned, and which are on their way."""

from __future__ import annotations

import asyncio

from app.errors import ModelUnavailable
from app.memory import Size
from app.tensors import ModelRef


class Room:
    """Of one process. Used on the event loop."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._pinned: dict[ModelRef, int] = {}
        """Models that stay, or will once they are loaded, and their bytes."""
        self._coming: dict[ModelRef, int] = {}
        """Models that are being loaded."""
        self._has_changed = asyncio.Event()

    def has(self, size_bytes: int) -> bool:
        """There is room for so much, beside what is being loaded."""
        return size_bytes + sum(self._coming.values()) <= self.budget_bytes

    def keeps(self, ref: ModelRef) -> bool:
        """It is pinned."""
        return ref in self._pinned

    def largest(self, ref: ModelRef) -> int:
        """What `ref` may take when all that may go have gone."""
        return self.budget_bytes - self._pinned_beside(ref)

    def check(self, ref: ModelRef, size: Size, *, is_pinned: bool) -> None:
        """Refuse what could not stay; what is pinned counts from now on.

        Raises:
            ModelUnavailable: it does not fit beside the pinned models.
        """
        pinned_bytes = self._pinned_beside(ref)
        if size.size_bytes + pinned_bytes > self.budget_bytes:
            beside = f", of which pinned ones take {pinned_bytes}" if pinned_bytes else ""
            raise ModelUnavailable(
                f"the model takes {size.size_bytes} bytes of memory ({size.source}), all models "
                f"may take {self.budget_bytes} (SERVE_MEMORY_BYTES){beside}"
            )
        if is_pinned:
            self._pinned[ref] = size.size_bytes

    def begin(self, ref: ModelRef, size_bytes: int) -> None:
        """It is being loaded."""
        self._coming[ref] = size_bytes

    def end(self, ref: ModelRef) -> None:
        """It is no longer being loaded."""
        self._coming.pop(ref, None)
        self._has_changed.set()

    def pin(self, ref: ModelRef, size_bytes: int | None) -> None:
        """It stays, with so many bytes; None: it may go."""
        self._pinned.pop(ref, None)
        if size_bytes is not None:
            self._pinned[ref] = size_bytes

    def leave(self, ref: ModelRef) -> None:
        """It is pinned no more."""
        self._pinned.pop(ref, None)

    async def change(self) -> None:
        """Until some load has ended."""
        self._has_changed.clear()
        await self._has_changed.wait()

    def _pinned_beside(self, ref: ModelRef) -> int:
        return sum(size for other, size in self._pinned.items() if other != ref)
