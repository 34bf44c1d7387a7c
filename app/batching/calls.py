"""One call of a model: what waits, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import ModelFailed, ServingError
from app.telemetry import Trace
from app.tensors import Batch, Prediction


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
class Failed:
    """A model call that raised; the times are those of `Predicted`."""

    kind: str
    started_at: float
    ended_at: float
    batch_rows: int
    told: ServingError | None = None
    """What the model itself says of it."""

    def error(self) -> ServingError:
        """For one caller."""
        if self.told is not None:
            return self.told
        return ModelFailed(f"the model's own code raised {self.kind}; the log has the details")


Outcomes = Sequence[Predicted | Failed]


class Waiting:
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

    def settle(self, outcome: Predicted | Failed) -> None:
        """Answer the caller, unless it has left."""
        if self.future.done():
            return
        mark(self.trace, outcome)
        if isinstance(outcome, Predicted):
            self.future.set_result(outcome)
        else:
            self.future.set_exception(outcome.error())


def mark(trace: Trace, outcome: Predicted | Failed) -> None:
    """Tell `trace` when the model was called, and with how many rows."""
    trace.enter("predict", outcome.started_at)
    trace.enter("deliver", outcome.ended_at)
    trace.batch_rows = outcome.batch_rows
