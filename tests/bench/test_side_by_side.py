"""Whole runs: what is timed, what is told, and the exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import load, machine, overload, report, side_by_side, workloads
from bench.load import NoLoad
from bench.peers import FLOOR, ROOT, SUBJECT
from bench.plan import planned
from bench.results import Failure, Results
from tests.bench.made_up import a_load, an_overload, some_results
from tests.bench.served import KNOWN, a_workload

WRONG = [KNOWN[0], [[0.75, 0.25]]]
TOLD = Failure("floor", "W2", "answers [0.75, 0.25] where the model gives [0.5, 0.5]")


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Connections of each load that is asked for, in place of wrk and of the bare call."""
    asked: list[int] = []

    def run(*words: object, connections: int, seconds: float) -> load.Load:
        asked.append(connections)
        return a_load()

    monkeypatch.setattr(load, "run", run)
    monkeypatch.setattr(side_by_side, "_bare", lambda workload: 9.0)
    return asked


def a_round(found: Results, workload: workloads.Workload) -> None:
    plan = planned(["--concurrency", "1,4"])
    side_by_side._round(plan, workload, [FLOOR], found)


def test_a_server_that_answers_rightly_is_warmed_up_and_timed(
    tmp_path: Path, loads: list[int]
) -> None:
    found = Results({})
    a_round(found, a_workload(tmp_path))

    assert loads == [side_by_side.WARM_UP_CONNECTIONS, 1, 4]
    assert [(v.peer, v.answers_compared, list(v.loads)) for v in found.visits] == [
        (FLOOR, 2, [1, 4])
    ]
    assert (found.failures, found.bare) == ([], {"W2": [9.0]})


def test_a_server_that_answers_wrongly_is_told_and_not_timed_nor_started_again(
    tmp_path: Path, loads: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    found = Results({})
    a_round(found, a_workload(tmp_path, answered=WRONG))
    a_round(found, a_workload(tmp_path))

    assert (loads, found.visits) == ([], [])
    assert found.failures == [TOLD]
    assert "floor: answers [0.75, 0.25]" in capsys.readouterr().err


def a_run(monkeypatch: pytest.MonkeyPatch, folder: Path, found: Results) -> int:
    """The exit code of a run that finds this."""
    monkeypatch.setattr(os, "sched_setaffinity", lambda *words: None)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(report, "_plots", lambda data: [])
    monkeypatch.setattr(side_by_side, "_measured", lambda *words: found)
    return side_by_side.main(["--results", str(folder)])


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({}, 0),
        ({"failures": [TOLD]}, 1),
        ({"overloads": [an_overload(without_retry_after=1)]}, 1),
        ({"overloads": [an_overload()]}, 0),
    ],
)
def test_the_exit_code_tells_failures_and_faults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: dict[str, Any], code: int
) -> None:
    assert a_run(monkeypatch, tmp_path, some_results(**more)) == code
    assert (tmp_path / "README.md").is_file()


def test_what_was_not_measured_is_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_run(monkeypatch, tmp_path, some_results(failures=[TOLD]))

    assert f"not measured: floor on W2: {TOLD.reason}\n" in capsys.readouterr().out


def test_an_overload_that_fails_loses_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(seconds: float) -> list[overload.Overload]:
        raise NoLoad("wrk failed: unable to create thread")

    monkeypatch.setattr(overload, "measure", measure)
    monkeypatch.setattr(machine, "described", dict)
    found = side_by_side._measured(planned(["--overload", "only", "--peers", ""]), [])

    assert found.failures == [Failure(SUBJECT, "overload", "wrk failed: unable to create thread")]


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two processors are needed")
@pytest.mark.long
def test_a_short_run_compares_and_times_both_servers(tmp_path: Path) -> None:
    words = "--peers floor --workloads W2 --seconds 1 --rounds 1 --overload no --results"
    done = subprocess.run(
        [sys.executable, "-m", "bench.side_by_side", *words.split(), str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rounds = json.loads((tmp_path / "latest.json").read_text())["rounds"]
    page = (tmp_path / "README.md").read_text()

    assert [(visit["peer"], visit["answers_compared"]) for visit in rounds] == [
        (SUBJECT, workloads.CHECKS),
        (FLOOR, workloads.CHECKS),
    ]
    assert all(seen["requests"] > 10 for visit in rounds for seen in visit["loads"].values())
    assert "\n| **aml-serve** |" in page
    assert "\n| raw ASGI floor |" in page
    assert "0.55 x the raw ASGI floor" in page
