"""Metrics: their names and labels, right after known requests, in a text that Prometheus reads."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from app.telemetry import Trace
from app.telemetry.counts import DURATION_BUCKETS
from app.telemetry.gauges import Gauges, ModelGauges
from app.telemetry.prometheus import Prometheus
from app.tensors import ModelRef

GAUGES = Gauges(
    models=[
        ModelGauges("m", "1", True, "onnx", "d1gest", load_s=0.5, size_bytes=7),
        ModelGauges("broken", "latest", False),
    ],
    in_flight=2,
    shed=3,
    pool_bytes=7,
    store_bytes=9,
    registry_errors=4,
)
LABELS = {
    "http_server_request_duration_seconds": {"method", "route", "status"},
    "model_request_seconds": {"model", "version", "phase"},
    "model_requests": {"model", "version", "code"},
    "model_rows": {"model", "version"},
    "model_batch_rows": {"model", "version"},
    "model_load_seconds": {"model", "version"},
    "model_memory_bytes": {"model", "version"},
    "model_info": {"model", "version", "runtime", "digest"},
    "model_ready": {"model", "version"},
    "registry_errors": set[str](),
    "store_bytes": set[str](),
    "pool_bytes": set[str](),
    "requests_in_flight": set[str](),
    "requests_shed": set[str](),
}
"""Of CONTRACTS, telemetry names: those that this version has."""


def traced(
    status: int, code: str = "", rows: int = 0, batch_rows: int = 0, *, route: str = "/score"
) -> Trace:
    trace = Trace("POST")
    trace.route, trace.code, trace.rows, trace.batch_rows = route, code, rows, batch_rows
    trace.ref = ModelRef("default", "m", "1") if route == "/score" else None
    for phase in ("decode", "model", "decode", "queue", "predict", "deliver", "encode"):
        trace.enter(phase)
    trace.end(status)
    return trace


def told(*traces: Trace) -> dict[str, Metric]:
    prometheus = Prometheus(lambda: GAUGES)
    for trace in traces:
        prometheus.record(trace)
    return {f.name: f for f in text_string_to_metric_families(prometheus.text().decode())}


def samples(family: Metric, suffix: str = "") -> Iterator[Sample]:
    return (s for s in family.samples if s.name == family.name + suffix)


REQUESTS = (
    traced(200, rows=3, batch_rows=5),
    traced(200, rows=2, batch_rows=5),
    traced(502, "model-failed", rows=9, batch_rows=9),
    traced(504, "deadline-exceeded", rows=4),
    traced(200, route="/livez"),
)


def test_the_text_has_the_names_and_labels_of_the_contract() -> None:
    families = told(*REQUESTS)

    for name, labels in LABELS.items():
        assert families[name].samples, name
        for sample in families[name].samples:
            assert set(sample.labels) - {"le"} == labels
        assert families[name].documentation


def test_counters_are_right_after_known_requests() -> None:
    families = told(*REQUESTS)
    codes = {s.labels["code"]: s.value for s in samples(families["model_requests"], "_total")}
    (rows,) = samples(families["model_rows"], "_total")
    (batch_rows,) = samples(families["model_batch_rows"], "_sum")
    (batches,) = samples(families["model_batch_rows"], "_count")

    assert codes == {"ok": 2, "model-failed": 1, "deadline-exceeded": 1}
    assert rows.value == 5  # predicted ones
    assert (batches.value, batch_rows.value) == (3, 19)  # what no call was made for is not counted


def test_requests_are_counted_by_route_and_status() -> None:
    family = told(*REQUESTS)["http_server_request_duration_seconds"]
    counts = {(s.labels["route"], s.labels["status"]): s.value for s in samples(family, "_count")}

    assert counts == {
        ("/score", "200"): 2,
        ("/score", "502"): 1,
        ("/score", "504"): 1,
        ("/livez", "200"): 1,
    }


@pytest.mark.parametrize("name", ["http_server_request_duration_seconds", "model_request_seconds"])
def test_buckets_are_cumulative_and_end_with_all(name: str) -> None:
    family = told(*(traced(200) for _ in range(20)))[name]
    counts = {tuple(s.labels.values()): s.value for s in samples(family, "_count")}

    for key, count in counts.items():
        buckets = [s for s in samples(family, "_bucket") if set(key) <= set(s.labels.values())]
        values = [s.value for s in buckets]
        assert values == sorted(values)
        assert (buckets[-1].labels["le"], values[-1]) == ("+Inf", count)


@pytest.mark.parametrize(
    ("seconds", "first"), [(0.0049, "0.005"), (0.005, "0.005"), (0.0051, "0.01"), (99, "+Inf")]
)
def test_a_duration_is_counted_from_the_bucket_that_holds_it(seconds: float, first: str) -> None:
    trace = traced(200)
    trace.duration_s = seconds
    family = told(trace)["http_server_request_duration_seconds"]
    holding = [s.labels["le"] for s in samples(family, "_bucket") if s.value]

    assert holding[0] == first
    assert len(list(samples(family, "_bucket"))) == len(DURATION_BUCKETS) + 1


def test_the_phases_are_those_of_the_contract() -> None:
    family = told(*REQUESTS)["model_request_seconds"]

    assert {s.labels["phase"] for s in family.samples} == {"queue", "decode", "predict", "encode"}


def test_gauges_are_read_at_the_scrape() -> None:
    families = told()
    ready = {s.labels["model"]: s.value for s in families["model_ready"].samples}
    (info,) = families["model_info"].samples

    assert ready == {"m": 1, "broken": 0}
    assert (info.labels["runtime"], info.labels["digest"]) == ("onnx", "d1gest")
    single = {n: families[n].samples[0].value for n in ("requests_in_flight", "pool_bytes")}
    assert single == {"requests_in_flight": 2, "pool_bytes": 7}
    assert next(samples(families["requests_shed"], "_total")).value == 3
    assert next(samples(families["registry_errors"], "_total")).value == 4


def test_requests_for_models_that_nobody_knows_make_no_labels() -> None:
    trace = traced(404, "model-not-found", route="/score/{model}")

    labels = [s.labels for family in told(trace).values() for s in family.samples]
    assert {each["model"] for each in labels if "model" in each} == {"m", "broken"}


def test_of_many_requests_few_are_kept_and_all_are_counted() -> None:
    prometheus = Prometheus(lambda: GAUGES)
    before = sum(type(each) is Trace for each in gc.get_objects())
    for place in range(1000):
        prometheus.record(traced(200 if place % 4 else 502, rows=2, batch_rows=1 + place % 2))
    kept = sum(type(each) is Trace for each in gc.get_objects()) - before
    families = {f.name: f for f in text_string_to_metric_families(prometheus.text().decode())}
    counts = [s.value for s in samples(families["http_server_request_duration_seconds"], "_count")]
    batches = {s.labels["le"]: s.value for s in samples(families["model_batch_rows"], "_bucket")}

    assert kept < 500
    assert sorted(counts) == [250, 750]
    assert next(samples(families["model_rows"], "_total")).value == 2000
    assert (batches["1"], batches["2"], batches["+Inf"]) == (500, 1000, 1000)


def test_equal_references_are_one_model() -> None:
    first, second = traced(200, rows=1), traced(200, rows=1)
    assert first.ref is not second.ref

    (rows,) = samples(told(first, second)["model_rows"], "_total")
    assert rows.value == 2
