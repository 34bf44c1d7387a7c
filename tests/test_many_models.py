"""More models than memory holds: all served, within the limit, and memory stays where it is."""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
from pathlib import Path

import pytest

from tests import models
from tests.cgroups import limited
from tests.server import Server, serving

MB = 10**6
LONG, FULL = pytest.mark.long, pytest.mark.full


def write(registry: Path, count: int, size_bytes: int) -> Path:
    """So many models, each of which answers its number."""
    for number in range(count):
        models.table(registry / f"m{number}" / "1", number, size_bytes)
    return registry


def resident_bytes(server: Server) -> int:
    pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("count", "limit_mb"), [pytest.param(40, 448, marks=LONG), pytest.param(200, 1024, marks=FULL)]
)
def test_models_that_do_not_fit_together_are_all_served_within_the_limit(
    tmp_path: Path, count: int, limit_mb: int
) -> None:
    registry = write(tmp_path / "registry", count, 10 * MB)
    listed = [{"name": f"m{number}", "preload": False} for number in range(count)]
    (tmp_path / "config.yaml").write_text(json.dumps({"models": listed}))
    settings = {"SERVE_REGISTRY": str(registry), "SERVE_CONFIG": str(tmp_path / "config.yaml")}
    with limited(limit_mb << 20) as within:
        command = (*within, sys.executable, "-m", "app", "serve")
        with serving("/livez", *command, **settings) as server:
            largest = 0
            for number in [*range(count), *random.sample(range(count), count)]:
                assert server.score(f"m{number}", [[1]]) == [[float(number)]]
                largest = max(largest, resident_bytes(server))
            loaded = [told for told in server.models().values() if told["state"] == "READY"]
            assert server.process.poll() is None
        assert within.kills() == 0

    assert 5 < len(loaded) < count
    assert all(10 * MB <= told["size_bytes"] < 14 * MB for told in loaded[1:])
    assert largest < 0.9 * (limit_mb << 20)


@pytest.mark.parametrize(
    ("loads", "size_mb"), [pytest.param(100, 10, marks=LONG), pytest.param(1000, 50, marks=FULL)]
)
def test_after_many_loads_and_unloads_as_much_memory_is_taken_as_after_a_few(
    tmp_path: Path, loads: int, size_mb: int
) -> None:
    registry = write(tmp_path / "registry", 6, size_mb * MB)
    settings = {"SERVE_REGISTRY": str(registry), "SERVE_MODELS": "m0"}
    with serving(SERVE_MEMORY_BYTES=str(int(2.6 * size_mb * MB)), **settings) as server:
        taken = []
        for number in range(loads):
            assert server.score(f"m{number % 6}", [[1]]) == [[float(number % 6)]]
            taken.append(resident_bytes(server))
        assert server.log().count("is unloaded to make room") >= loads - 4

    plateau = statistics.median(taken[loads // 10 : loads // 5])
    assert statistics.median(taken[-loads // 10 :]) < 1.1 * plateau
    assert max(taken) < 1.1 * plateau
