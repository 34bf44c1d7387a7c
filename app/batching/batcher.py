"""The calls of one loaded model."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import numpy as np

from app.batching.calls import Failed, Outcomes, Predicted, Waiting, mark
from app.batching.workers import INLINE_S, Workers
from app.errors import ModelUnavailable
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
    ) -> None:
        """`max_rows` 1: calls are never joined; `threads`: model calls at the same time;
        `expected_s`: what a call with one row takes; by default it may be anything."""
        self._model = model
        self._label = label
        self._workers = workers
        self._max_rows = max_rows
        self._idle = min(threads, workers.threads)
        self._waiting: deque[Waiting] = deque()
        self._expected_s = expected_s

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

    def take(self) -> list[Waiting]:
        """The first live call and those that may be joined to it, in order of arrival."""
        group: list[Waiting] = []
        passed: list[Waiting] = []
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
        if not outcomes:
            for waiting in reversed(group):
                waiting.is_alone, waiting.taken_at = True, None
                self._waiting.appendleft(waiting)
            return
        first = outcomes[0]
        self._learn(first, first.ended_at - first.started_at)
        for waiting, outcome in zip(group, outcomes, strict=True):
            waiting.settle(outcome)

    def refuse(self) -> None:
        """Answer all that wait that they will not be served."""
        while self._waiting:
            future = self._waiting.popleft().future
            if not future.done():
                future.set_exception(ModelUnavailable(_STOPPING, retry_after_s=1))

    def _learn(self, outcome: Predicted | Failed, spent_s: float) -> None:
        """What a call with one row takes when nothing holds it up: short ones count for more."""
        if outcome.batch_rows <= _INLINE_ROWS and self._expected_s != math.inf:
            change_s = min(spent_s, 2 * INLINE_S) - self._expected_s
            self._expected_s += change_s / (2 if change_s < 0 else 8)

    def _joins(self, first: Waiting, other: Waiting, rows: int) -> bool:
        return (
            rows + other.batch.rows <= self._max_rows
            and first.key == other.key
            and not (first.is_alone or other.is_alone)
        )

    def _leave(self, waiting: Waiting) -> None:
        """The caller has gone: its rows need not stay in memory until their turn would come."""
        if not waiting.future.cancelled():
            waiting.future.exception()  # it came at the same moment; asyncio wants it to be seen
        elif waiting.taken_at is not None:
            waiting.trace.enter("predict", waiting.taken_at)
        else:
            with suppress(ValueError):  # passed over by `take` a moment ago
                self._waiting.remove(waiting)

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
        except BaseException as error:  # a model may raise anything, SystemExit too
            ended_at = time.perf_counter()
            of_request = {"request_id": trace.request_id}
            logger.exception("%s: the model's own code raised", self._label, extra=of_request)
            # Not the error itself: its traceback would keep the rows in memory.
            return Failed(type(error).__name__, started_at, ended_at, rows)
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
