"""The worker threads, and the one exception from them."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Final, Protocol

from app.batching.calls import Outcomes, Waiting

INLINE_S: Final = 0.0003
"""What a model call may take to be the first on the event loop in a turn of it."""
HOP_S: Final = 0.00005
"""What a hop to a thread and back costs: shorter calls are not worth joining."""
TURN_S: Final = 0.001
"""What inline calls may take together before other tasks have their turn."""


class Source(Protocol):
    """Where workers get calls from; see `Batcher`."""

    @property
    def may_run(self) -> bool:
        """A call waits, and one more model call is allowed."""
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


class Workers:
    """The worker threads of a process, shared by the batchers of all models in turn.

    They are daemons: a model that never returns does not keep a process from ending.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.is_closed = False
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._started = 0
        self._busy = 0
        self._ready: OrderedDict[Source, None] = OrderedDict()
        self._inline_s = 0.0

    def offer(self, batcher: Source) -> None:
        """`batcher` has calls that may run; it is asked for them when its turn has come."""
        self._ready[batcher] = None
        self._dispatch()

    def lets_inline(self, expected_s: float) -> bool:
        """A call that takes so long may run on the loop itself: no other call runs or waits, and
        it is the first in this turn of the loop, or so short that joining it would gain nothing."""
        if self._busy or self._ready or self.is_closed:
            return False
        if not self._inline_s:
            return expected_s <= INLINE_S
        return expected_s <= HOP_S and self._inline_s + expected_s <= TURN_S

    def inlined(self, spent_s: float) -> None:
        """A call has run on the loop, in the present turn of it."""
        if not self._inline_s:
            asyncio.get_running_loop().call_soon(self._turn)
        self._inline_s += spent_s

    def _turn(self) -> None:
        """All that was ready has had its turn."""
        self._inline_s = 0.0

    def close(self) -> None:
        """Refuse what waits; threads end with their present calls, which are still answered."""
        self.is_closed = True
        for batcher in self._ready:
            batcher.refuse()
        self._ready.clear()
        for _ in range(self._started):
            self._jobs.put(None)

    def _dispatch(self) -> None:
        while self._busy < self.threads and self._ready:
            batcher, _ = self._ready.popitem(last=False)
            group = batcher.take()
            if batcher.may_run:
                self._ready[batcher] = None  # behind the others
            if group:
                self._start(batcher, group)

    def _start(self, batcher: Source, group: list[Waiting]) -> None:
        loop = asyncio.get_running_loop()

        def run() -> None:
            outcomes = batcher.run(group)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._done, batcher, group, outcomes)

        self._busy += 1
        if self._busy > self._started:
            self._started += 1
            name = f"predict-{self._started}"
            threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True).start()
        self._jobs.put(run)

    def _done(self, batcher: Source, group: list[Waiting], outcomes: Outcomes) -> None:
        self._busy -= 1
        batcher.give(group, outcomes)
        if self.is_closed:
            batcher.refuse()
            return
        if batcher.may_run:
            self._ready[batcher] = None
        self._dispatch()


def _work(jobs: SimpleQueue[Callable[[], None] | None]) -> None:
    """What a worker thread does, until it is given None."""
    while (job := jobs.get()) is not None:
        job()
        del job  # an idle thread keeps no model and no rows in memory
