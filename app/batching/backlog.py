"""The calls that wait for one model, in order of arrival."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from app.batching.calls import Waiting


class Backlog:
    """The calls that wait for one model."""

    def __init__(self, max_rows: int) -> None:
        """`max_rows` of one model call; with 1 calls are never joined."""
        self._max_rows = max_rows
        self._waiting: deque[Waiting] = deque()
        self._rows = 0
        """Of all, each call counted as what fits into one model call."""

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def model_calls(self) -> int:
        """Full model calls that are made of it, before one that joins its end."""
        return self._rows // self._max_rows

    def add(self, waiting: Waiting) -> None:
        """The last one."""
        self._waiting.append(waiting)
        self._rows += self._counted(waiting)

    def put_back(self, group: Sequence[Waiting]) -> None:
        """In their order, before all others."""
        self._waiting.extendleft(reversed(group))
        self._rows += sum(map(self._counted, group))

    def remove(self, waiting: Waiting) -> None:
        """Take it out wherever it stands. Raises: ValueError: it is not here."""
        self._waiting.remove(waiting)
        self._rows -= self._counted(waiting)

    def take(self) -> list[Waiting]:
        """The first live call and those that may be joined to it."""
        group: list[Waiting] = []
        passed: list[Waiting] = []
        rows = 0
        while self._waiting and (not group or rows < self._max_rows):
            waiting = self._waiting.popleft()
            self._rows -= self._counted(waiting)
            if waiting.future.done():
                continue
            if group and not self._joins(group[0], waiting, rows):
                passed.append(waiting)
                continue
            group.append(waiting)
            rows += waiting.batch.rows
        self.put_back(passed)
        return group

    def empty(self) -> list[Waiting]:
        """All of them, none of which is here any more."""
        waiting = list(self._waiting)
        self._waiting.clear()
        self._rows = 0
        return waiting

    def _counted(self, waiting: Waiting) -> int:
        return min(waiting.batch.rows, self._max_rows)

    def _joins(self, first: Waiting, other: Waiting, rows: int) -> bool:
        return (
            rows + other.batch.rows <= self._max_rows
            and first.key == other.key
            and not (first.is_alone or other.is_alone)
        )
