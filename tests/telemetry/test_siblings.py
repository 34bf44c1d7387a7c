"""Counts of several workers, by their files: the sum, and never less than was told before."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.telemetry import siblings
from app.telemetry.gauges import Gauges, ModelGauges
from app.telemetry.prometheus import Prometheus
from app.telemetry.runs import run_folder
from app.telemetry.siblings import Siblings
from tests.telemetry.test_prometheus import traced

READY = ModelGauges("m", "1", True, "onnx", "d", fetch_s=1, load_s=2, size_bytes=7)
GAUGES = Gauges([READY], in_flight=2, shed=3, pool_bytes=7, store_bytes=9, registry_errors=4)


def worker(folder: Path, number: int, gauges: Gauges = GAUGES) -> Prometheus:
    return Prometheus(lambda: gauges, Siblings(folder, number))


def told(prometheus: Prometheus) -> dict[str, float]:
    """Each sample by its name and, of buckets, its bound; of several the sum."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(prometheus.text().decode()):
        for sample in family.samples:
            key = sample.name + sample.labels.get("le", "")
            found[key] = found.get(key, 0) + sample.value
    return found


def test_any_worker_tells_the_sum_of_what_all_have_counted(tmp_path: Path) -> None:
    first, second = worker(tmp_path, 0), worker(tmp_path, 1)
    for _ in range(3):
        first.record(traced(200, rows=2, batch_rows=4))
    second.record(traced(200, rows=1, batch_rows=1))
    second.record(traced(502, "model-failed", rows=1, batch_rows=1))
    first.share(GAUGES)
    second.share(GAUGES)
    alone = Prometheus(lambda: GAUGES)
    for trace in (*(traced(200, rows=2, batch_rows=4) for _ in range(3)), traced(200, rows=1)):
        alone.record(trace)

    for each in (first, second):
        found = told(each)
        assert found["model_requests_total"] == 5
        assert found["model_rows_total"] == 7
        assert (found["model_batch_rows_sum"], found["model_batch_rows_bucket1"]) == (14, 2)
        assert found["http_server_request_duration_seconds_count"] == 5
        assert found["model_request_seconds_bucket+Inf"] == 5 * 4
        assert found.keys() == told(alone).keys()


def test_gauges_are_sums_and_ready_is_what_is_ready_everywhere(tmp_path: Path) -> None:
    loading = replace(READY, is_ready=False, runtime="", load_s=0.0, size_bytes=0)
    first = worker(tmp_path, 0)
    second = worker(tmp_path, 1, replace(GAUGES, models=[loading], store_bytes=0))
    second.share(second._gauges())

    found = told(first)
    assert (found["requests_in_flight"], found["pool_bytes"]) == (4, 14)
    assert (found["requests_shed_total"], found["registry_errors_total"]) == (6, 8)
    assert (found["store_bytes"], found["model_memory_bytes"]) == (9, 7)
    assert (found["model_load_seconds"], found["registry_fetch_seconds"]) == (2, 1)
    assert found["model_ready"] == 0


def test_of_a_worker_that_is_gone_only_what_was_counted_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = worker(tmp_path, 0), worker(tmp_path, 1)
    second.record(traced(200, rows=1))
    second.share(GAUGES)
    monkeypatch.setattr(siblings, "_GONE_S", -1.0)

    found = told(first)
    assert (found["model_requests_total"], found["requests_shed_total"]) == (1, 6)
    assert (found["requests_in_flight"], found["pool_bytes"]) == (2, 7)


def test_who_takes_the_place_of_a_dead_worker_counts_on(tmp_path: Path) -> None:
    first, second = worker(tmp_path, 0), worker(tmp_path, 1)
    for place in (0, 0, 0):  # twice over
        again = worker(tmp_path, place)
        again.record(traced(200, rows=1))
        again.share(GAUGES)
    second.record(traced(200, rows=1))

    for found in (told(second), told(worker(tmp_path, 0))):
        assert found["model_requests_total"] == 4
        assert found["requests_shed_total"] >= 3 * 3
    assert told(first)["model_requests_total"] == 1  # it is dead, and has not seen the others


def test_what_one_has_told_at_a_scrape_another_tells_too(tmp_path: Path) -> None:
    first, second = worker(tmp_path, 0), worker(tmp_path, 1)
    first.record(traced(200, rows=1))

    assert told(first)["model_requests_total"] == told(second)["model_requests_total"] == 1


def test_a_folder_that_cannot_be_written_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alone = worker(tmp_path / "none", 0)
    alone.record(traced(200, rows=1))
    with caplog.at_level(logging.WARNING):
        alone.share(GAUGES)
        found = told(alone)

    assert found["model_requests_total"] == 1
    assert len(caplog.records) == 1
    assert "No such file or directory" in caplog.text


def test_a_file_that_is_broken_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_bytes(b'{"counts":')

    assert told(worker(tmp_path, 0))["requests_shed_total"] == 3


def test_leftovers_of_killed_runs_go_and_those_of_others_that_run_stay(tmp_path: Path) -> None:
    leftover = tmp_path / "runs" / "killed"
    leftover.mkdir(parents=True)
    (leftover / "lock").touch()
    (leftover / "0.json").touch()
    with run_folder(tmp_path) as first, run_folder(tmp_path) as second:
        (first / "0.json").touch()
        assert first.is_dir()
        assert second.is_dir()
        assert not leftover.exists()
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"lock"}


def test_where_no_folder_can_be_made_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with run_folder(tmp_path) as folder:
        assert not folder.exists()
