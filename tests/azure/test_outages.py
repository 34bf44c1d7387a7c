"""The registry away for a while: what is there is served, marked stale, and catches up itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.azure.control_plane import CONTAINER
from tests.azure.fixtures import OLDER, Azure
from tests.models import write_times
from tests.server import Server, serving

LASTS_S = [2, pytest.param(10, marks=pytest.mark.long), pytest.param(180, marks=pytest.mark.full)]


@contextmanager
def served(azure: Azure, cache: Path) -> Iterator[Server]:
    given = {
        **azure.environment(), **OLDER, "SERVE_REGISTRY": "", "SERVE_MODELS": "times",
        "SERVE_REFRESH_S": "0.3", "SERVE_CACHE_DIR": str(cache),
    }  # fmt: skip
    with serving("/readyz", **given) as server:
        yield server


def register(azure: Azure, folder: Path, version: int) -> None:
    """Version 2 doubles, version 3 trebles."""
    write_times(folder / str(version), version)
    azure.storage.put_folder(CONTAINER, f"outages/{version}", folder / str(version))
    azure.plane.register("times", str(version), f"outages/{version}")


def answers_for(server: Server, lasts_s: float, answer: float) -> set[str]:
    """How stale it was told to be, while each request was answered so."""
    told = set()
    until = time.monotonic() + lasts_s
    while time.monotonic() < until:
        assert server.score("times", [[1.0]]) == [[answer]]
        told.add(server.models()["times"].get("stale", ""))
        time.sleep(0.02)
    return told


def catches_up(server: Server) -> None:
    server.wait_until(lambda: server.score("times", [[1.0]]) == [[3.0]])
    server.wait_until(lambda: not server.models()["times"].get("stale"))


@pytest.mark.parametrize("lasts_s", LASTS_S)
def test_a_registry_that_is_away_while_models_are_served(
    azure: Azure, tmp_path: Path, lasts_s: float
) -> None:
    register(azure, tmp_path, 2)
    with served(azure, tmp_path / "cache") as server:
        azure.plane.fail("/", 503)
        told = answers_for(server, lasts_s, 2.0)
        register(azure, tmp_path, 3)
        azure.plane.mend()
        catches_up(server)

    assert len(told - {""}) == 1
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("lasts_s", LASTS_S)
def test_a_registry_that_is_away_at_the_start_with_a_warm_store(
    azure: Azure, tmp_path: Path, lasts_s: float
) -> None:
    register(azure, tmp_path, 2)
    with served(azure, tmp_path / "cache") as server:
        assert server.score("times", [[1.0]]) == [[2.0]]
    azure.plane.fail("/", 503)
    register(azure, tmp_path, 3)
    with served(azure, tmp_path / "cache") as server:
        told = answers_for(server, lasts_s, 2.0)
        azure.plane.mend()
        catches_up(server)

    assert len(told - {""}) == 1
