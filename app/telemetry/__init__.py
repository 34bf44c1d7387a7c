"""What is told of each request, and who is told: exporters never block, and are told once."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:  # numpy comes with it, which who only writes logs need not have
    from app.tensors import ModelRef


PROBES: Final = frozenset({"/livez", "/readyz", "/healthcheck", "/metrics"})
"""Routes that are asked every few seconds, of which only failures are worth telling."""


class Trace:
    """One request from its first byte to its last; phases in seconds, in the order they came."""

    __slots__ = (
        "_since",
        "batch_rows",
        "code",
        "duration_s",
        "extra_columns",
        "method",
        "phase",
        "phases",
        "ref",
        "request_id",
        "route",
        "rows",
        "started_at",
        "status",
        "traceparent",
    )

    def __init__(self, method: str) -> None:
        self.method = method
        self.route = "unmatched"
        """Route template, never the path itself."""
        self.status = 500
        """Of the answer; 500 until one has begun."""
        self.code = ""
        """The error code of a deliberate error; empty for an answer."""
        self.request_id = ""
        self.traceparent: bytes | None = None
        """The header of the request, as it came."""
        self.ref: ModelRef | None = None
        self.rows = 0
        self.batch_rows = 0
        """Rows of the joint model call that these rows were part of."""
        self.extra_columns = 0
        self.phase = "admit"
        """What happens now; each moment until the end belongs to one phase."""
        self.phases: dict[str, float] = {}
        self.started_at = self._since = perf_counter()
        self.duration_s = 0.0

    def enter(self, phase: str, at: float | None = None) -> None:
        """The present phase ends, at `time.perf_counter()` seconds `at` or now; `phase` begins."""
        now = perf_counter() if at is None else at
        ended, phases = self.phase, self.phases
        if ended in phases:
            phases[ended] += now - self._since
        elif ended:
            phases[ended] = now - self._since
        self.phase = phase
        self._since = now

    def age_s(self) -> float:
        """Since its first byte."""
        return perf_counter() - self.started_at

    def end(self, status: int) -> None:
        """The answer has gone."""
        self.enter("")
        self.status = status
        self.duration_s = self._since - self.started_at


class Exporter(Protocol):
    """Counts, writes or sends what traces tell."""

    def record(self, trace: Trace) -> None:
        """On the event loop, after the answer; must cost microseconds."""
        ...
