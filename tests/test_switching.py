"""A server under load, whose versions switch: no request fails, each is answered by one version."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import orjson
import pytest
import requests

from tests.models import write_times
from tests.server import Server, serving

REFRESH_S = "0.2"
WARM = 20
"""Requests of each caller that are not looked at."""


class Caller(threading.Thread):
    """Asks all the time, and counts what it gets."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.answers: Counter[str] = Counter()
        self.faults: list[str] = []
        self.times: list[float] = []
        self.is_over = False

    def run(self) -> None:
        with requests.Session() as session:
            while not self.is_over:
                started = time.perf_counter()
                answer = session.post(f"{self.url}/score/times", json={"data": [[1.0]]}, timeout=30)
                self.times.append(time.perf_counter() - started)
                version = answer.headers.get("x-model-version", "")
                if answer.status_code != 200 or answer.json() != {"results": [[float(version)]]}:
                    self.faults.append(f"{answer.status_code} {version} {answer.text[:200]}")
                self.answers[version] += 1


def switch(server: Server, registry: Path, times: int) -> None:
    """Let version 2 come and go; each time until it, or version 1, answers."""
    aside = registry / ".aside"
    for number in range(times):
        if number % 2:
            (registry / "times/2").rename(aside)
        elif aside.exists():
            aside.rename(registry / "times/2")
        else:
            write_times(registry / ".new", 2)
            (registry / ".new").rename(registry / "times/2")
        wanted = "1" if number % 2 else "2"
        until = time.monotonic() + 30
        while server.models()["times"]["version"] != wanted:
            assert time.monotonic() < until, server.log()
            time.sleep(0.02)
    shutil.rmtree(aside, ignore_errors=True)


@pytest.mark.parametrize(
    ("times", "quiet_s"), [(4, 0), pytest.param(20, 4, marks=pytest.mark.long)]
)
def test_no_request_fails_while_versions_switch(tmp_path: Path, times: int, quiet_s: float) -> None:
    """Nor is the p99 more than twice that before the switches, where that was looked at."""
    registry = tmp_path / "registry"
    write_times(registry / "times/1", 1)
    with serving(SERVE_REGISTRY=str(registry), SERVE_REFRESH_S=REFRESH_S) as server:
        callers = [Caller(server.url) for _ in range(4)]
        for caller in callers:
            caller.start()
        time.sleep(quiet_s)
        quiet = [len(caller.times) for caller in callers]
        switch(server, registry, times)
        for caller in callers:
            caller.is_over = True
            caller.join(30)
        assert server.stop() == 0

    assert [fault for caller in callers for fault in caller.faults] == []
    answered = sum((caller.answers for caller in callers), Counter())
    assert set(answered) == {"1", "2"}
    assert server.log().count("answers in place of version") == times
    if quiet_s:
        before = [caller.times[WARM:count] for caller, count in zip(callers, quiet, strict=True)]
        during = [caller.times[count:] for caller, count in zip(callers, quiet, strict=True)]
        assert p99_s(during) <= 2 * p99_s(before)


def p99_s(times: list[list[float]]) -> float:
    return float(np.quantile(np.concatenate(times), 0.99))


def test_a_refused_version_is_told_with_the_first_difference(tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    write_times(registry / "times/1", 1)
    with serving(SERVE_REGISTRY=str(registry), SERVE_REFRESH_S=REFRESH_S) as server:
        write_times(registry / ".new", 2)
        golden = [{"request": {"data": [[1.0]]}, "results": [[3.0]]}]
        (registry / ".new/golden.json").write_bytes(orjson.dumps(golden))
        (registry / ".new").rename(registry / "times/2")
        until = time.monotonic() + 30
        while "refused" not in server.models()["times"]:
            assert time.monotonic() < until, server.log()
            time.sleep(0.05)
        told = server.models()["times"]

        reason = "golden.json: request 0, row 0, column 0: got 2.0, wanted 3.0"
        assert (told["version"], told["state"]) == ("1", "READY")
        assert told["refused"] == {"version": "2", "reason": reason}
        assert server.score("times", [[1.0]]) == [[1.0]]
        assert f"times:2 may not answer, the version before goes on: {reason}" in server.log()
        metrics = server.get("/metrics").text
        assert 'model_ready{model="times",version="1"} 1' in metrics
        assert 'model_ready{model="times",version="2"} 0' in metrics
