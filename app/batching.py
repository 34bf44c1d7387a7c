"""Joins waiting calls into one model call, and runs model calls in worker threads.

Greedy, without a timer: an idle thread starts at once, what arrives meanwhile is the next batch.
All state changes on the event loop; threads only compute.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final

import numpy as np

from app.errors import ModelFailed, ModelUnavailable
from app.telemetry import Trace
from app.tensors import Batch, Model, Prediction

logger = logging.getLogger(__name__)

_STOPPING: Final = "the server is stopping"


@dataclass(slots=True)
class Predicted:
    """What one caller gets of a model call."""

    prediction: Prediction
    started_at: float
    """When the model was called; `time.perf_counter()`, as is `ended_at`."""
    ended_at: float
    batch_rows: int
    """Rows of the joint call."""


@dataclass(frozen=True, slots=True)
class _Failed:
    """A model call that raised; the times are those of `Predicted`."""

    kind: str
    started_at: float
    ended_at: float
    batch_rows: int


Outcomes = Sequence[Predicted | _Failed]


class _Waiting:
    """One call; its future travels with it, so nobody else can take its answer."""

    __slots__ = ("batch", "future", "is_alone", "key", "outputs", "taken_at", "trace")

    def __init__(self, batch: Batch, outputs: tuple[str, ...], trace: Trace) -> None:
        self.batch = batch
        self.outputs = outputs
        self.trace = trace
        self.future: asyncio.Future[Predicted] = asyncio.get_running_loop().create_future()
        self.key = batch.row_key()
        self.is_alone = False
        """Never joined any more: a joint call that it was part of failed."""
        self.taken_at: float | None = None

    def settle(self, outcome: Predicted | _Failed) -> None:
        """Answer the caller, unless it has left."""
        if self.future.done():
            return
        self.trace.enter("predict", outcome.started_at)
        self.trace.enter("deliver", outcome.ended_at)
        self.trace.batch_rows = outcome.batch_rows
        if isinstance(outcome, Predicted):
            self.future.set_result(outcome)
        else:
            text = f"the model's own code raised {outcome.kind}; the log has the details"
            self.future.set_exception(ModelFailed(text))


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
        self._ready: OrderedDict[Batcher, None] = OrderedDict()

    def offer(self, batcher: Batcher) -> None:
        """`batcher` has calls that may run; it is asked for them when its turn has come."""
        self._ready[batcher] = None
        self._dispatch()

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

    def _start(self, batcher: Batcher, group: list[_Waiting]) -> None:
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

    def _done(self, batcher: Batcher, group: list[_Waiting], outcomes: Outcomes) -> None:
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


class Batcher:
    """The calls of one loaded model."""

    def __init__(
        self, model: Model, label: str, workers: Workers, *, max_rows: int, threads: int
    ) -> None:
        """`max_rows` 1: calls are never joined; `threads`: model calls at the same time."""
        self._model = model
        self._label = label
        self._workers = workers
        self._max_rows = max_rows
        self._idle = min(threads, workers.threads)
        self._waiting: deque[_Waiting] = deque()

    async def predict(self, batch: Batch, outputs: tuple[str, ...], trace: Trace) -> Predicted:
        """The outputs for the rows of `batch`; cancelling it disturbs no other caller.

        Args:
            trace: is told the phases `queue`, `predict` and `deliver`.

        Raises:
            ModelFailed: the model raised for this very call.
            ModelUnavailable: the workers are closed.
        """
        if self._workers.is_closed:
            raise ModelUnavailable(_STOPPING, retry_after_s=1)
        trace.enter("queue")
        waiting = _Waiting(batch, outputs, trace)
        self._waiting.append(waiting)
        if self._idle:
            self._workers.offer(self)
        try:
            return await waiting.future
        except asyncio.CancelledError:
            self._leave(waiting)
            raise

    @property
    def may_run(self) -> bool:
        """A call waits, and one more model call is allowed."""
        return self._idle > 0 and bool(self._waiting)

    def take(self) -> list[_Waiting]:
        """The first live call and those that may be joined to it, in order of arrival."""
        group: list[_Waiting] = []
        passed: list[_Waiting] = []
        rows = 0
        while self._waiting and (not group or rows < self._max_rows):
            waiting = self._waiting.popleft()
            if waiting.future.done():
                continue
            if group and not self._joins(group[0], waiting, rows):
                passed.append(waiting)
                continue
            group.append(waiting)
            rows += waiting.batch.rows
        self._waiting.extendleft(reversed(passed))
        if group:
            self._idle -= 1
            for waiting in group:
                waiting.taken_at = time.perf_counter()
        return group

    def run(self, group: list[_Waiting]) -> Outcomes:
        """In a worker thread. Never raises; nothing when a joint call failed."""
        if len(group) == 1:
            return [self._run_one(group[0])]
        try:
            return self._run_joint(group)
        except BaseException:  # noqa: BLE001  # whoever is guilty is found call by call
            logger.debug("%s: a joint call failed, trying call by call", self._label)
            return []

    def give(self, group: list[_Waiting], outcomes: Outcomes) -> None:
        """Back on the loop: each caller its own; after a failed joint call each waits again."""
        self._idle += 1
        if not outcomes:
            for waiting in reversed(group):
                waiting.is_alone, waiting.taken_at = True, None
                self._waiting.appendleft(waiting)
            return
        for waiting, outcome in zip(group, outcomes, strict=True):
            waiting.settle(outcome)

    def refuse(self) -> None:
        """Answer all that wait that they will not be served."""
        while self._waiting:
            future = self._waiting.popleft().future
            if not future.done():
                future.set_exception(ModelUnavailable(_STOPPING, retry_after_s=1))

    def _joins(self, first: _Waiting, other: _Waiting, rows: int) -> bool:
        return (
            rows + other.batch.rows <= self._max_rows
            and first.key == other.key
            and not (first.is_alone or other.is_alone)
        )

    def _leave(self, waiting: _Waiting) -> None:
        """The caller has gone: its rows need not stay in memory until their turn would come."""
        if not waiting.future.cancelled():
            waiting.future.exception()  # it came at the same moment; asyncio wants it to be seen
        elif waiting.taken_at is not None:
            waiting.trace.enter("predict", waiting.taken_at)
        else:
            with suppress(ValueError):  # passed over by `take` a moment ago
                self._waiting.remove(waiting)

    def _run_joint(self, group: list[_Waiting]) -> Outcomes:
        batch = Batch.join([waiting.batch for waiting in group])
        outputs = tuple(dict.fromkeys(name for waiting in group for name in waiting.outputs))
        started_at = time.perf_counter()
        prediction = self._model.predict(batch, outputs)
        ended_at = time.perf_counter()
        parts = split(prediction, [waiting.batch.rows for waiting in group])
        return [Predicted(part, started_at, ended_at, batch.rows) for part in parts]

    def _run_one(self, waiting: _Waiting) -> Predicted | _Failed:
        rows = waiting.batch.rows
        started_at = time.perf_counter()
        try:
            prediction = self._model.predict(waiting.batch, waiting.outputs)
        except BaseException as error:  # a model may raise anything, SystemExit too
            ended_at = time.perf_counter()
            logger.exception("%s: the model's own code raised", self._label)
            # Not the error itself: its traceback would keep the rows in memory.
            return _Failed(type(error).__name__, started_at, ended_at, rows)
        return Predicted(prediction, started_at, time.perf_counter(), rows)


def split(prediction: Prediction, rows: Sequence[int]) -> list[Prediction]:
    """The part of each caller, by the number of rows of each.

    Raises:
        ValueError: an output has not one entry per row.
    """
    ends = [int(end) for end in np.cumsum(rows)]
    starts = [0, *ends[:-1]]
    parts: list[dict[str, Any]] = [{} for _ in rows]
    for name, output in prediction.items():
        if not isinstance(output, np.ndarray) or output.shape[:1] != (ends[-1],):
            raise ValueError(f"output {name!r} has not one entry per row")
        for part, start, end in zip(parts, starts, ends, strict=True):
            part[name] = output[start:end]
    return parts
