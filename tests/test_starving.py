"""A slow model leaves the others as quick as they are."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import requests

from tests import odd_models
from tests.models import write_times
from tests.server import Server, serving

ROUNDS = 5


def p99_s(server: Server, lasts_s: float) -> float:
    """Of the quick model, asked by one client as often as it answers."""
    times: list[float] = []
    ends = time.perf_counter() + lasts_s
    while time.perf_counter() < ends:
        started = time.perf_counter()
        assert server.score("quick", [[1.0]]) == [[3.0]]
        times.append(time.perf_counter() - started)
    return float(np.quantile(times, 0.99))


@contextmanager
def inside(server: Server, seconds: float, *, computes: bool) -> Iterator[None]:
    """One call is inside the slow model, and another waits."""
    data = [[seconds, float(computes)]]
    asked = {"json": {"data": data}, "timeout": 120}
    clients = [
        threading.Thread(target=requests.post, args=(f"{server.url}/score/slow",), kwargs=asked)
        for _ in range(2)
    ]
    for client in clients:
        client.start()
    server.wait_until(lambda: "requests_in_flight 2.0" in server.get("/metrics").text)
    yield
    for client in clients:
        client.join()


@pytest.mark.parametrize(
    ("seconds", "computes"),
    [
        pytest.param(1.5, False, marks=pytest.mark.long, id="sleeps"),
        pytest.param(30, False, marks=pytest.mark.full, id="sleeps for long"),
        # Three programs that compute want three processors; where there are two, noise decides.
        pytest.param(30, True, marks=pytest.mark.full, id="computes for long"),
    ],
)
def test_a_long_predict_leaves_the_p99_of_another_model_within_twice_its_quiet_value(
    tmp_path: Path, seconds: float, computes: bool
) -> None:
    registry = tmp_path / "registry"
    odd_models.save(registry, "slow", odd_models.Lasting())
    write_times(registry / "quick/1", 3)
    ratios = []
    with serving(SERVE_REGISTRY=str(registry), SERVE_THREADS="1") as server:
        p99_s(server, 1)
        for _ in range(ROUNDS):
            quiet_s = p99_s(server, seconds / 2)
            with inside(server, seconds, computes=computes):
                ratios.append(p99_s(server, seconds / 2) / quiet_s)

    assert np.median(ratios) <= 2, ratios
