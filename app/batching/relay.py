"""The calls of a model that answers from processes of its own: none to join, no thread waits."""

from __future__ import annotations

import math
import time
from typing import Final

from app.batching.calls import Predicted
from app.errors import ServingError
from app.telemetry import Trace
from app.tensors import Apart, Batch

_NEWEST: Final = 0.2
"""How much the newest call says of what the next one takes."""


class Relay:
    """As `Batcher`, for such a model."""

    max_rows = 1

    def __init__(self, model: Apart, expected_s: float = math.inf) -> None:
        """`expected_s`: what a call takes, by default nobody knows."""
        self._model = model
        self._call_s = expected_s
        self.inside = 0
        """Calls that wait or run."""

    def predict_now(self, batch: Batch, outputs: tuple[str, ...], trace: Trace) -> None:
        """See `Batcher`; none can be answered on the spot."""
        return

    async def predict(self, batch: Batch, outputs: tuple[str, ...], trace: Trace) -> Predicted:
        """See `Batcher`. Raises: ServingError: what the model says of it."""
        trace.enter("queue")
        started_at: float | None = None

        def began(at: float) -> None:
            nonlocal started_at
            started_at = at
            trace.enter("predict", at)
            trace.batch_rows = batch.rows

        self.inside += 1
        try:
            prediction = await self._model.answer(batch, outputs, began)
        except ServingError:
            if started_at is not None:
                self._end(started_at, trace)
            raise
        finally:
            self.inside -= 1
        assert started_at is not None
        return Predicted(prediction, started_at, self._end(started_at, trace), batch.rows)

    def _end(self, started_at: float, trace: Trace) -> float:
        ended_at = time.perf_counter()
        spent_s = ended_at - started_at
        is_first = math.isinf(self._call_s)
        self._call_s = spent_s if is_first else self._call_s + _NEWEST * (spent_s - self._call_s)
        trace.enter("deliver", ended_at)
        return ended_at

    def wait_s(self) -> float:
        """See `Batcher`."""
        processes = self._model.processes
        waiting = self.inside - processes
        return 0 if waiting <= 0 or math.isinf(self._call_s) else waiting * self._call_s / processes
