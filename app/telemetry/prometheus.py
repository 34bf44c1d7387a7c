"""Metrics for Prometheus: counted in plain Python, made into its text form when it asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from threading import Lock
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
from app.telemetry.counts import Counts, Histogram
from app.telemetry.gauges import NOTHING, Gauges, ModelGauges
from app.telemetry.siblings import Siblings

_MOST_KEPT: Final = 256
"""Requests counted at once, in a sixth of a millisecond: others wait for no more."""


class Prometheus(Collector):
    """Told of every request; counts many at once, and tells them at a scrape.

    With siblings: adds up what all workers have counted, also those that died.
    """

    def __init__(self, gauges: Callable[[], Gauges], siblings: Siblings | None = None) -> None:
        self._gauges = gauges
        self._siblings = siblings
        self._counts = Counts()
        self._before = NOTHING
        """Gauges of those that had this worker's place: of which only what was counted counts."""
        self._traces: list[Trace] = []
        self._counting = Lock()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        before = siblings.before() if siblings is not None else None
        if before is not None:
            self._counts.join(before["counts"])
            self._before = Gauges.of(before["gauges"]).counted()

    def record(self, trace: Trace) -> None:
        """See `Exporter`."""
        self._traces.append(trace)
        if len(self._traces) >= _MOST_KEPT:
            self.count()

    def count(self) -> None:
        """Count what is kept. In any thread: what is recorded meanwhile is counted next."""
        with self._counting:
            traces = self._traces[:]
            del self._traces[: len(traces)]
            self._counts.add(traces)

    def share(self, gauges: Gauges) -> None:
        """Tell the other workers, where there are any; blocking, for some tenths of a millisecond.

        Also at each scrape, so that no later one, which another may answer, tells less.
        """
        if self._siblings is not None:
            self.count()
            told = {"counts": self._counts.document(), "gauges": gauges.joined(self._before)}
            self._siblings.write(told)

    def text(self) -> bytes:
        """The answer to a scrape, in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        gauges = self._gauges()
        self.share(gauges)
        self.count()
        counts, gauges = self._counts, gauges.joined(self._before)
        if self._siblings is not None:
            counts = Counts()
            counts.join(self._counts.document())
            for told, is_there in self._siblings.others():
                counts.join(told["counts"])
                other = Gauges.of(told["gauges"])
                gauges = gauges.joined(other if is_there else other.counted())
        yield from _counted(counts)
        yield from _read(gauges)


def _counted(counts: Counts) -> Iterator[Metric]:
    requests = (((m, r, str(status)), h) for (m, r, status), h in counts.requests.items())
    yield _histograms(
        "http_server_request_duration_seconds",
        "Time from the first byte of a request to the last of its answer.",
        ("method", "route", "status"),
        requests,
    )
    yield _histograms(
        "model_request_seconds",
        "Time that requests spend in each phase.",
        ("model", "version", "phase"),
        counts.phases.items(),
    )
    yield _histograms(
        "model_batch_rows",
        "Rows of the model call that a request was answered by.",
        ("model", "version"),
        counts.batch_rows.items(),
    )
    yield _counter("model_requests", "Requests by outcome.", ("code",), counts.codes.items())
    yield _counter("model_rows", "Rows predicted.", (), counts.rows.items())
    yield _counter(
        "model_ignored_columns",
        "Columns sent that the model does not take.",
        (),
        counts.ignored.items(),
    )


def _histograms(
    name: str,
    text: str,
    labels: tuple[str, ...],
    histograms: Iterable[tuple[tuple[str, ...], Histogram]],
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=labels)
    for key, histogram in histograms:
        total, buckets = 0, []
        for bound, count in zip(
            (*map(str, histogram.bounds), "+Inf"), histogram.counts, strict=True
        ):
            total += count
            buckets.append((bound, float(total)))  # each holds those below it too
        family.add_metric(key, buckets, histogram.sum)
    return family


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
        ("model_memory_bytes", "What the model takes of memory.", lambda m: float(m.size_bytes)),
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
    yield _counter(
        "model_shadow_agreement",
        "Comparisons of a version with its shadow by outcome.",
        ("shadow", "outcome"),
        (((s.name, s.version, s.shadow, s.outcome), s.count) for s in gauges.shadows),
    )
    yield _counter(
        "model_collected",
        "Requests that were to be collected by outcome.",
        ("outcome",),
        (((c.name, c.version, c.outcome), c.count) for c in gauges.collected),
    )
    yield GaugeMetricFamily("requests_in_flight", "Requests now inside.", gauges.in_flight)
    yield GaugeMetricFamily("pool_bytes", "Models in memory.", gauges.pool_bytes)
    yield GaugeMetricFamily("store_bytes", "Model folders on disk.", gauges.store_bytes)
    yield CounterMetricFamily("requests_shed", "Refused for overload.", gauges.shed)
    yield CounterMetricFamily("registry_errors", "Failed look-ups.", gauges.registry_errors)
