"""The calls of one loaded model."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import numpy as np

from app.batching.backlog import Backlog
from app.batching.calls import Failed, Outcomes, Predicted, Waiting, mark
from app.batching.lanes import LONG_S
from app.batching.workers import INLINE_S, Workers
from app.errors import ModelUnavailable, ServingError
from app.telemetry import Trace
from app.tensors import Batch, Model, Prediction

logger = logging.getLogger(__name__)

_STOPPING: Final = "the server is stopping"
_INLINE_ROWS: Final = 4
"""Calls with more rows are not expected to take what one row took."""


class Batcher:
    """The calls of one loaded model."""

    def __init__(
        self,
        model: Model,
        label: str,
        workers: Workers,
        *,
        max_rows: int,
        threads: int,
        expected_s: float = math.inf,
        is_steady: bool = True,
    ) -> None:
        """`max_rows` 1: calls are never joined; `threads`: model calls at the same time;
        `expected_s`: what a call with one row takes, by default nobody knows; `is_steady`: as
        that of the model."""
        self._model = model
        self._label = label
        self._workers = workers
        self._threads = self._idle = min(threads, workers.threads)
        self.max_rows = max_rows
        self._backlog = Backlog(max_rows)
        self._running = 0
        self._expected_s = expected_s if is_steady else math.inf
        self._call_s = expected_s if math.isfinite(expected_s) else 0.0

    def predict_now(self, batch: Batch, outputs: tuple[str, ...], trace: Trace) -> Predicted | None:
        """As `predict`, on the loop, where a hop to a thread would take longer than the call; None
        when it has to wait. For batches of few bytes: what is expected is known of such."""
        if batch.rows > _INLINE_ROWS or not self._workers.lets_inline(self._expected_s):
            return None
        outcome = self._run_one(batch, outputs, trace)
        spent_s = outcome.ended_at - outcome.started_at
        self._workers.inlined(spent_s)
        self._learn(outcome, spent_s)
        trace.enter("queue", outcome.started_at)
        mark(trace, outcome)
        if isinstance(outcome, Failed):
            raise outcome.error()
        return outcome

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
        waiting = Waiting(batch, outputs, trace)
        self._backlog.add(waiting)
        if self._idle:
            self._workers.offer(self)
        try:
            return await waiting.future
        except asyncio.CancelledError:
            self._leave(waiting)
            raise

    @property
    def inside(self) -> int:
        """Calls that wait or run in a thread."""
        return len(self._backlog) + self._running

    def wait_s(self) -> float:
        """How long a call that comes now will wait at least, as calls took of late."""
        return self._backlog.model_calls * self._call_s / self._threads

    @property
    def may_run(self) -> bool:
        """A call waits, and one more model call is allowed."""
        return self._idle > 0 and len(self._backlog) > 0

    @property
    def is_long(self) -> bool:
        """Calls took long of late."""
        return self._call_s >= LONG_S

    def take(self) -> list[Waiting]:
        """The first live call and those that may be joined to it, in order of arrival."""
        group = self._backlog.take()
        if group:
            self._idle -= 1
            self._running += len(group)
            for waiting in group:
                waiting.taken_at = time.perf_counter()
        return group

    def run(self, group: list[Waiting]) -> Outcomes:
        """In a worker thread. Never raises; nothing when a joint call failed."""
        if len(group) == 1:
            return [self._run_one(group[0].batch, group[0].outputs, group[0].trace)]
        try:
            return self._run_joint(group)
        except BaseException:  # noqa: BLE001  # whoever is guilty is found call by call
            logger.debug("%s: a joint call failed, trying call by call", self._label)
            return []

    def give(self, group: list[Waiting], outcomes: Outcomes) -> None:
        """Back on the loop: each caller its own; after a failed joint call each waits again."""
        self._idle += 1
        self._running -= len(group)
        if not outcomes:
            for waiting in group:
                waiting.is_alone, waiting.taken_at = True, None
            self._backlog.put_back(group)
            return
        first = outcomes[0]
        spent_s = first.ended_at - first.started_at
        self._call_s = _nearer(self._call_s, spent_s)
        self._learn(first, spent_s)
        for waiting, outcome in zip(group, outcomes, strict=True):
            waiting.settle(outcome)

    def refuse(self) -> None:
        """Answer all that wait that they will not be served."""
        for waiting in self._backlog.empty():
            if not waiting.future.done():
                waiting.future.set_exception(ModelUnavailable(_STOPPING, retry_after_s=1))

    def _learn(self, outcome: Predicted | Failed, spent_s: float) -> None:
        """What a call with one row takes when nothing holds it up."""
        if outcome.batch_rows <= _INLINE_ROWS and self._expected_s != math.inf:
            self._expected_s = _nearer(self._expected_s, min(spent_s, 2 * INLINE_S))

    def _leave(self, waiting: Waiting) -> None:
        """The caller has gone: its rows need not stay in memory until their turn would come."""
        if not waiting.future.cancelled():
            waiting.future.exception()  # it came at the same moment; asyncio wants it to be seen
        elif waiting.taken_at is not None:
            waiting.trace.enter("predict", waiting.taken_at)
        else:
            with suppress(ValueError):  # passed over by `take` a moment ago
                self._backlog.remove(waiting)

    def _run_joint(self, group: list[Waiting]) -> Outcomes:
        batch = Batch.join([waiting.batch for waiting in group])
        outputs = tuple(dict.fromkeys(name for waiting in group for name in waiting.outputs))
        started_at = time.perf_counter()
        prediction = self._model.predict(batch, outputs)
        ended_at = time.perf_counter()
        parts = split(prediction, [waiting.batch.rows for waiting in group])
        return [Predicted(part, started_at, ended_at, batch.rows) for part in parts]

    def _run_one(self, batch: Batch, outputs: tuple[str, ...], trace: Trace) -> Predicted | Failed:
        rows = batch.rows
        started_at = time.perf_counter()
        try:
            prediction = self._model.predict(batch, outputs)
        except ServingError as error:  # a model that knows what to say, and has logged it
            kind, told = type(error).__name__, error.with_traceback(None)
            return Failed(kind, started_at, time.perf_counter(), rows, told)
        except BaseException as error:  # a model may raise anything, SystemExit too
            ended_at = time.perf_counter()
            of_request = {"request_id": trace.request_id}
            logger.exception("%s: the model's own code raised", self._label, extra=of_request)
            # Not the error itself: its traceback would keep the rows in memory.
            return Failed(type(error).__name__, started_at, ended_at, rows)
        return Predicted(prediction, started_at, time.perf_counter(), rows)


def _nearer(expected_s: float, spent_s: float) -> float:
    """What is expected after a call that took `spent_s`: short ones count for more."""
    change_s = spent_s - expected_s
    return expected_s + change_s / (2 if change_s < 0 else 8)


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
