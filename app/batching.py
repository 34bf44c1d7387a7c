"""Joins waiting calls into one model call, and runs model calls in worker threads.

Greedy, without a timer: an idle worker starts at once, what arrives meanwhile is the next batch.
All state changes on the event loop; threads only compute.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from app.errors import ModelFailed
from app.tensors import Batch, Model, Prediction

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Predicted:
    """What one caller gets of a model call."""

    prediction: Prediction
    started_at: float
    """When the model was called; `time.perf_counter()`, as is `ended_at`."""
    ended_at: float
    batch_rows: int
    """Rows of the joint call."""


class _Waiting:
    """One call; its future travels with it, so nobody else can take its answer."""

    __slots__ = ("batch", "future", "key", "outputs")

    def __init__(
        self, batch: Batch, outputs: tuple[str, ...], future: asyncio.Future[Predicted]
    ) -> None:
        self.batch = batch
        self.outputs = outputs
        self.key = batch.row_key()
        self.future = future


Outcome = Predicted | ModelFailed


class Workers:
    """The worker threads of a process, shared by the batchers of all models in turn."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="predict")
        self._free = threads
        self._ready: deque[_Source] = deque()

    def offer(self, source: _Source) -> None:
        """`source` has work; it is asked for it when a thread is free."""
        self._ready.append(source)
        self._dispatch()

    def close(self) -> None:
        """Lets the threads end when their present calls have ended."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _dispatch(self) -> None:
        while self._free and self._ready:
            source = self._ready.popleft()
            group = source.take()
            if not group:
                continue
            self._free -= 1
            loop = asyncio.get_running_loop()
            self._executor.submit(self._run, loop, source, group)

    def _run(self, loop: asyncio.AbstractEventLoop, source: _Source, group: list[_Waiting]) -> None:
        outcomes = source.run(group)
        loop.call_soon_threadsafe(self._done, source, group, outcomes)

    def _done(self, source: _Source, group: list[_Waiting], outcomes: list[Outcome]) -> None:
        self._free += 1
        source.give(group, outcomes)
        self._dispatch()


class _Source(Protocol):
    """Where workers get calls from."""

    def take(self) -> list[_Waiting]: ...
    def run(self, group: list[_Waiting]) -> list[Outcome]: ...
    def give(self, group: list[_Waiting], outcomes: list[Outcome]) -> None: ...


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
        self._offered = 0

    async def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Predicted:
        """The outputs for the rows of `batch`; cancelling it disturbs no other caller.

        Raises:
            ModelFailed: the model raised for this very call.
        """
        future: asyncio.Future[Predicted] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(batch, outputs, future))
        self._offer()
        return await future

    def _offer(self) -> None:
        if self._idle > self._offered and len(self._waiting) > self._offered:
            self._offered += 1
            self._workers.offer(self)

    def take(self) -> list[_Waiting]:
        """The first live call and those that may be joined to it, in order of arrival."""
        self._offered -= 1
        group: list[_Waiting] = []
        rows = 0
        left: deque[_Waiting] = deque()
        for waiting in self._waiting:
            if waiting.future.done():
                continue
            if not group or self._joins(group[0], waiting, rows):
                group.append(waiting)
                rows += waiting.batch.rows
            else:
                left.append(waiting)
        self._waiting = left
        if group:
            self._idle -= 1
            self._offer()
        return group

    def _joins(self, first: _Waiting, other: _Waiting, rows: int) -> bool:
        return rows + other.batch.rows <= self._max_rows and first.key == other.key

    def run(self, group: list[_Waiting]) -> list[Outcome]:
        """In a worker thread: one joint call, or call by call when that fails."""
        if len(group) > 1:
            try:
                return self._run_joint(group)
            except BaseException:  # noqa: BLE001  # whoever is guilty is found call by call
                logger.debug("%s: a joint call failed, trying call by call", self._label)
        return [self._run_one(waiting) for waiting in group]

    def give(self, group: list[_Waiting], outcomes: list[Outcome]) -> None:
        """Back on the loop: each caller its own; who has left is passed over."""
        self._idle += 1
        for waiting, outcome in zip(group, outcomes, strict=True):
            if waiting.future.done():
                continue
            if isinstance(outcome, ModelFailed):
                waiting.future.set_exception(outcome)
            else:
                waiting.future.set_result(outcome)
        self._offer()

    def _run_joint(self, group: list[_Waiting]) -> list[Outcome]:
        batch = Batch.join([waiting.batch for waiting in group])
        outputs = tuple(dict.fromkeys(name for waiting in group for name in waiting.outputs))
        started_at = time.perf_counter()
        prediction = self._model.predict(batch, outputs)
        ended_at = time.perf_counter()
        parts = split(prediction, [waiting.batch.rows for waiting in group])
        return [Predicted(part, started_at, ended_at, batch.rows) for part in parts]

    def _run_one(self, waiting: _Waiting) -> Outcome:
        started_at = time.perf_counter()
        try:
            prediction = self._model.predict(waiting.batch, waiting.outputs)
        except BaseException as error:  # a model may raise anything, SystemExit too
            logger.exception("%s: the model's own code raised", self._label)
            failed = ModelFailed(
                f"the model's own code raised {type(error).__name__}; the log has the details"
            )
            failed.__cause__ = error
            return failed
        return Predicted(prediction, started_at, time.perf_counter(), waiting.batch.rows)


def split(prediction: Prediction, rows: Sequence[int]) -> list[Prediction]:
    """The part of each caller, by the number of rows of each.

    Raises:
        ValueError: an output has not one entry per row.
    """
    ends = np.cumsum(rows)
    parts: list[dict[str, Any]] = [{} for _ in rows]
    for name, output in prediction.items():
        if not isinstance(output, np.ndarray) or output.shape[:1] != (ends[-1],):
            raise ValueError(f"output {name!r} has not one entry per row")
        for part, piece in zip(parts, np.split(output, ends[:-1]), strict=True):
            part[name] = piece
    return parts
