"""The worker threads, and the one exception from them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Final

from app.batching.calls import Outcomes, Waiting
from app.batching.lanes import LONG_S, Lane, Run, Source

INLINE_S: Final = 0.0003
"""What a model call may take to be the first on the event loop in a turn of it."""
HOP_S: Final = 0.00005
"""What a hop to a thread and back costs: shorter calls are not worth joining."""
TURN_S: Final = 0.001
"""What inline calls may take together before other tasks have their turn."""


class Workers:
    """The worker threads of a process, shared by the batchers of all models in turn.

    As many run short calls as run long ones. A call that turns out to be long is counted among
    those, and another thread takes its place. They are daemons: a model that never returns does
    not keep a process from ending.
    """

    def __init__(self, threads: int) -> None:
        """`threads` for the calls of each kind."""
        self.threads = threads
        self.is_closed = False
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._started = 0
        self._short, self._long = Lane(), Lane()
        self._timer: asyncio.TimerHandle | None = None
        self._inline_s = 0.0

    def offer(self, batcher: Source) -> None:
        """`batcher` has calls that may run; it is asked for them when its turn has come."""
        self._dispatch(self._line_up(batcher))

    def lets_inline(self, expected_s: float) -> bool:
        """A call that takes so long may run on the loop itself: no short call runs or waits, and
        it is the first in this turn of the loop, or so short that joining it would gain nothing."""
        if not self._short.is_idle or self.is_closed:
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
        if self._timer is not None:
            self._timer.cancel()
        for lane in (self._short, self._long):
            for batcher in lane.ready:
                batcher.refuse()
            lane.ready.clear()
        for _ in range(self._started):
            self._jobs.put(None)

    def _line_up(self, batcher: Source) -> Lane:
        """Behind the others of its kind."""
        lane = self._long if batcher.is_long else self._short
        lane.ready[batcher] = None
        return lane

    def _dispatch(self, lane: Lane) -> None:
        while len(lane.running) < self.threads and lane.ready:
            batcher, _ = lane.ready.popitem(last=False)
            if not batcher.may_run:  # it stood in both lanes
                continue
            group = batcher.take()
            if batcher.may_run:
                self._line_up(batcher)
            if group:
                self._start(batcher, group, lane)
        if lane is self._short and lane.ready:
            self._watch()

    def _watch(self) -> None:
        """Look again when the call that has run longest turns out to be a long one."""
        if self._timer is None:
            oldest = next(iter(self._short.running))
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(oldest.started_at + LONG_S, self._make_way)

    def _make_way(self) -> None:
        self._timer = None
        self._short.move(self._long, asyncio.get_running_loop().time() - LONG_S)
        self._dispatch(self._short)

    def _start(self, batcher: Source, group: list[Waiting], lane: Lane) -> None:
        loop = asyncio.get_running_loop()
        run = Run(batcher, group, lane, loop.time())

        def work() -> None:
            outcomes = batcher.run(group)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._done, run, outcomes)

        if len(self._short.running) + len(self._long.running) > self._started:
            self._started += 1
            name = f"predict-{self._started}"
            threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True).start()
        self._jobs.put(work)

    def _done(self, run: Run, outcomes: Outcomes) -> None:
        run.lane.leave(run)
        batcher = run.source
        batcher.give(run.group, outcomes)
        if self.is_closed:
            batcher.refuse()
            return
        if batcher.may_run:
            self._line_up(batcher)
        self._dispatch(self._short)
        self._dispatch(self._long)


def _work(jobs: SimpleQueue[Callable[[], None] | None]) -> None:
    """What a worker thread does, until it is given None."""
    while (job := jobs.get()) is not None:
        job()
        del job  # an idle thread keeps no model and no rows in memory
