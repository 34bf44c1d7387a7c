"""Metrics for Prometheus: counted in plain Python, made into its text form when it asks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from app.telemetry import Trace

DURATION_BUCKETS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
)
"""Seconds; OpenTelemetry's semantic conventions for http.server.request.duration."""
PHASE_BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, *DURATION_BUCKETS)
ROW_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
PHASES: Final = ("queue", "decode", "predict", "encode")


@dataclass(frozen=True, slots=True)
class ModelGauges:
    """What the catalog knows of one model version at the moment of a scrape."""

    name: str
    version: str
    is_ready: bool
    runtime: str = ""
    digest: str = ""
    fetch_s: float = 0.0
    load_s: float = 0.0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is read, not counted, at the moment of a scrape."""

    models: Sequence[ModelGauges]
    in_flight: int
    shed: int
    pool_bytes: int
    store_bytes: int
    registry_errors: int


class Histogram:
    """Cumulative buckets of one label set."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count `value` in its bucket."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """As Prometheus wants it: each bucket holds those below it too."""
        total, buckets = 0, []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        family.add_metric(labels, buckets, self._sum)


class Prometheus(Collector):
    """Told of every request; collected at a scrape."""

    def __init__(self, gauges: Callable[[], Gauges]) -> None:
        self._gauges = gauges
        self._requests: dict[tuple[str, str, int], Histogram] = {}
        self._phases: dict[tuple[str, str, str], Histogram] = {}
        self._batch_rows: dict[tuple[str, str], Histogram] = {}
        self._codes: Counter[tuple[str, str, str]] = Counter()
        self._rows: Counter[tuple[str, str]] = Counter()
        self._ignored: Counter[tuple[str, str]] = Counter()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def record(self, trace: Trace) -> None:
        """See `Exporter`."""
        key = (trace.method, trace.route, trace.status)
        histogram = self._requests.get(key)
        if histogram is None:
            histogram = self._requests[key] = Histogram(DURATION_BUCKETS)
        histogram.observe(trace.duration_s)
        if trace.ref is not None:
            self._record_model(trace, trace.ref.name, trace.ref.version)

    def _record_model(self, trace: Trace, name: str, version: str) -> None:
        model = (name, version)
        self._codes[(name, version, trace.code or "ok")] += 1
        for phase in PHASES:
            seconds = trace.phases.get(phase)
            if seconds is not None:
                key = (name, version, phase)
                histogram = self._phases.get(key)
                if histogram is None:
                    histogram = self._phases[key] = Histogram(PHASE_BUCKETS)
                histogram.observe(seconds)
        if trace.rows and not trace.code:
            self._rows[model] += trace.rows
        if trace.batch_rows:
            rows = self._batch_rows.get(model)
            if rows is None:
                rows = self._batch_rows[model] = Histogram(ROW_BUCKETS)
            rows.observe(trace.batch_rows)
        if trace.extra_columns:
            self._ignored[model] += trace.extra_columns

    def text(self) -> bytes:
        """The answer to a scrape, in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        yield from self._counted()
        yield from _read(self._gauges())

    def _counted(self) -> Iterator[Metric]:
        requests = HistogramMetricFamily(
            "http_server_request_duration_seconds",
            "Time from the first byte of a request to the last of its answer.",
            labels=("method", "route", "status"),
        )
        for (method, route, status), histogram in self._requests.items():
            histogram.add_to(requests, (method, route, str(status)))
        yield requests
        phases = HistogramMetricFamily(
            "model_request_seconds",
            "Time that requests spend in each phase.",
            labels=("model", "version", "phase"),
        )
        for labels, histogram in self._phases.items():
            histogram.add_to(phases, labels)
        yield phases
        batches = HistogramMetricFamily(
            "model_batch_rows",
            "Rows of the model call that a request was answered by.",
            labels=("model", "version"),
        )
        for model, histogram in self._batch_rows.items():
            histogram.add_to(batches, model)
        yield batches
        yield _counter("model_requests", "Requests by outcome.", ("code",), self._codes.items())
        yield _counter("model_rows", "Rows predicted.", (), self._rows.items())
        yield _counter(
            "model_ignored_columns",
            "Columns sent that the model does not take.",
            (),
            self._ignored.items(),
        )


def _counter(
    name: str, text: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], int]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=("model", "version", *labels))
    for key, value in values:
        family.add_metric(key, value)
    return family


def _read(gauges: Gauges) -> Iterator[Metric]:
    per_model: list[tuple[str, str, Callable[[ModelGauges], float]]] = [
        ("model_ready", "1 when the version can answer.", lambda m: float(m.is_ready)),
        ("registry_fetch_seconds", "Time to have its files.", lambda m: m.fetch_s),
        ("model_load_seconds", "Time from asked for to ready.", lambda m: m.load_s),
        ("model_memory_bytes", "Size of the model in memory.", lambda m: float(m.size_bytes)),
    ]
    for name, text, value in per_model:
        family = GaugeMetricFamily(name, text, labels=("model", "version"))
        for model in gauges.models:
            family.add_metric((model.name, model.version), value(model))
        yield family
    info = GaugeMetricFamily(
        "model_info", "What a version is.", labels=("model", "version", "runtime", "digest")
    )
    for model in gauges.models:
        if model.is_ready:
            info.add_metric((model.name, model.version, model.runtime, model.digest), 1)
    yield info
    yield GaugeMetricFamily("requests_in_flight", "Requests now inside.", gauges.in_flight)
    yield GaugeMetricFamily("pool_bytes", "Models in memory.", gauges.pool_bytes)
    yield GaugeMetricFamily("store_bytes", "Model folders on disk.", gauges.store_bytes)
    yield CounterMetricFamily("requests_shed", "Refused for overload.", gauges.shed)
    yield CounterMetricFamily("registry_errors", "Failed look-ups.", gauges.registry_errors)
