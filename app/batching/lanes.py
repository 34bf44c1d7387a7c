"""Two lanes of model calls, so that short ones never wait for long ones."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Protocol

from app.batching.calls import Outcomes, Waiting

LONG_S: Final = 0.1
"""Calls that take so long are long ones."""


class Source(Protocol):
    """Where workers get calls from; see `Batcher`."""

    @property
    def may_run(self) -> bool:
        """A call waits, and one more model call is allowed."""
        ...

    @property
    def is_long(self) -> bool:
        """Its calls are expected to be long ones."""
        ...

    def take(self) -> list[Waiting]:
        """The calls to run together."""
        ...

    def run(self, group: list[Waiting]) -> Outcomes:
        """In a worker thread."""
        ...

    def give(self, group: list[Waiting], outcomes: Outcomes) -> None:
        """Back on the loop."""
        ...

    def refuse(self) -> None:
        """Nothing will be run any more."""
        ...


class Run:
    """One model call in a worker thread."""

    __slots__ = ("group", "lane", "source", "started_at")

    def __init__(self, source: Source, group: list[Waiting], lane: Lane, started_at: float) -> None:
        """`started_at` by the clock of the loop."""
        self.source = source
        self.group = group
        self.lane = lane
        self.started_at = started_at
        lane.running[self] = None


class Lane:
    """What runs of one kind, in the order it began, and who has calls that may run."""

    __slots__ = ("ready", "running")

    def __init__(self) -> None:
        self.ready: OrderedDict[Source, None] = OrderedDict()
        self.running: dict[Run, None] = {}

    @property
    def is_idle(self) -> bool:
        """Nothing runs, nothing waits."""
        return not (self.running or self.ready)

    def leave(self, run: Run) -> None:
        """It has ended."""
        del self.running[run]

    def move(self, to: Lane, started_before: float) -> None:
        """What began before then goes on in the other lane."""
        for run in [run for run in self.running if run.started_at <= started_before]:
            del self.running[run]
            to.running[run] = None
            run.lane = to
