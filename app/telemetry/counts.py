"""What requests add up to: histograms and totals by route and by model; pure.

Not here: their names and text for Prometheus (`prometheus`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from app.telemetry import Trace

DURATION_BUCKETS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
)
"""Seconds; OpenTelemetry's semantic conventions for http.server.request.duration."""
PHASE_BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, *DURATION_BUCKETS)
ROW_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
PHASES: Final = ("queue", "decode", "predict", "encode")

_BOUNDS: Final = {
    **{"requests": DURATION_BUCKETS, "phases": PHASE_BUCKETS, "batch_rows": ROW_BUCKETS},
}
"""Of the histograms of `Counts`."""
_TOTALS: Final = ("codes", "rows", "ignored")

Model = tuple[str, str]
"""Name and version."""


class Histogram:
    """How many values there were up to each bound, and above the one before it; and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """One more than there are bounds: for what is above all of them."""
        self.sum = 0.0

    def add(self, values: Sequence[float]) -> None:
        """Count each of `values` in its bucket."""
        places = np.searchsorted(self.bounds, values)
        found = np.bincount(places, minlength=len(self.counts)).tolist()
        self.join(found, sum(values))

    def join(self, counts: Sequence[int], total: float) -> None:
        """Add what another one of the same bounds has counted."""
        self.counts = [mine + more for mine, more in zip(self.counts, counts, strict=True)]
        self.sum += total


class Counts:
    """All that was counted; it only grows."""

    __slots__ = ("batch_rows", "codes", "ignored", "phases", "requests", "rows")

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str, int], Histogram] = {}
        """Durations by method, route and status."""
        self.phases: dict[tuple[str, str, str], Histogram] = {}
        """Seconds by model, version and phase."""
        self.batch_rows: dict[Model, Histogram] = {}
        self.codes: Counter[tuple[str, str, str]] = Counter()
        """Requests by model, version and outcome."""
        self.rows: Counter[Model] = Counter()
        self.ignored: Counter[Model] = Counter()

    def add(self, traces: Sequence[Trace]) -> None:
        """Count many requests at once, which costs a fraction of each alone."""
        durations = defaultdict(list)
        by_model = defaultdict(list)
        for trace in traces:
            durations[trace.method, trace.route, trace.status].append(trace.duration_s)
            ref = trace.ref
            if ref is not None:
                by_model[ref.name, ref.version].append(trace)
        for request, seconds in durations.items():
            _in(self.requests, request, DURATION_BUCKETS).add(seconds)
        for model, of_model in by_model.items():
            self._add_model(model, of_model)

    def document(self) -> dict[str, Any]:
        """For `join`; of what JSON has."""
        histograms = {
            name: [[key, each.counts, each.sum] for key, each in getattr(self, name).items()]
            for name in _BOUNDS
        }
        return histograms | {name: list(getattr(self, name).items()) for name in _TOTALS}

    def join(self, document: Mapping[str, Any]) -> None:
        """Add what others have counted, by their `document`."""
        for name, bounds in _BOUNDS.items():
            for key, counts, total in document[name]:
                _in(getattr(self, name), tuple(key), bounds).join(counts, total)
        for name in _TOTALS:
            for key, total in document[name]:
                getattr(self, name)[tuple(key)] += total

    def _add_model(self, model: Model, traces: Sequence[Trace]) -> None:
        for code, count in Counter([trace.code for trace in traces]).items():
            self.codes[(*model, code or "ok")] += count
        spent = [trace.phases for trace in traces]
        for phase in PHASES:
            seconds = [phases[phase] for phases in spent if phase in phases]
            if seconds:
                _in(self.phases, (*model, phase), PHASE_BUCKETS).add(seconds)
        batch_rows = [trace.batch_rows for trace in traces if trace.batch_rows]
        if batch_rows:
            _in(self.batch_rows, model, ROW_BUCKETS).add(batch_rows)
        rows = sum([trace.rows for trace in traces if not trace.code])
        if rows:
            self.rows[model] += rows
        ignored = sum([trace.extra_columns for trace in traces])
        if ignored:
            self.ignored[model] += ignored


def _in(histograms: dict[Any, Histogram], key: Any, bounds: Sequence[float]) -> Histogram:
    found = histograms.get(key)
    if found is None:
        found = histograms[key] = Histogram(bounds)
    return found
