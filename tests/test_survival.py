"""What a server survives: models that end its process, and being killed at any moment."""

from __future__ import annotations

import random
import shutil
import signal
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests import models, odd_models
from tests.azure.fixtures import Azure
from tests.azure.proxy import Proxy
from tests.azure.storage import Storage
from tests.server import Server, serving, start

ROW = [[3]]
PATIENCE_S = 120


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """Models of which one is deadly, named so that it is loaded among the first."""
    folder = tmp_path / "registry"
    for number, name in enumerate("acdef"):
        models.table(folder / name / "1", number, 1000)
    odd_models.save(folder, "b", odd_models.Deadly())
    return folder


def settings(registry: Path) -> dict[str, str]:
    return {"SERVE_REGISTRY": str(registry), "SERVE_CACHE_DIR": str(registry.parent / "cache")}


def reason(server: Server) -> str:
    """Why the deadly model is not served; empty when a worker dies instead of telling."""
    with suppress(requests.RequestException):
        told = requests.get(f"{server.url}/readyz?verbose", timeout=30).json()["models"]
        return "".join(model.get("reason", "") for model in told if model["name"] == "b")
    return ""


def check_others(server: Server) -> None:
    for number, name in enumerate("acdef"):
        assert server.score(name, ROW) == [[float(number)]]


@pytest.mark.long
def test_with_workers_a_deadly_model_is_set_aside_and_the_others_are_served(
    registry: Path,
) -> None:
    with serving("/livez", SERVE_WORKERS="2", **settings(registry)) as server:
        until = time.monotonic() + PATIENCE_S
        while "ended the process 3 times" not in reason(server):
            assert time.monotonic() < until, server.log()
            time.sleep(0.1)
        server.session.close()
        answer = server.post("/score/b", json={"data": ROW})
        check_others(server)
        assert server.process.poll() is None

    assert answer.status_code == 503
    assert "ended the process 3 times while it was loaded" in answer.text
    assert str(registry) not in answer.text
    assert server.log().count("was ended by SIGSEGV") == 3


@pytest.mark.long
def test_a_single_process_that_is_started_again_gives_up_on_it_the_fourth_time(
    registry: Path,
) -> None:
    for _ in range(3):
        with tempfile.TemporaryDirectory() as home:
            server = start(Path(home), settings(registry))
            assert server.process.wait(PATIENCE_S) == -signal.SIGSEGV
    with serving(**settings(registry)) as server:
        assert "ended the process 3 times" in reason(server)
        check_others(server)

    shutil.rmtree(registry / "b")
    models.table(registry / "b" / "1", 5, 1000)
    with serving(**settings(registry)) as server:
        assert server.score("b", ROW) == [[5.0]], "other files are another model"


POISON = [[odd_models.RAISES]]


@pytest.fixture
def poisonable(registry: Path) -> Path:
    """Models of which one ends the process when it is asked of certain rows."""
    shutil.rmtree(registry / "b")
    odd_models.save(registry, "b", odd_models.DeadlyAt())
    return registry


def poison(server: Server) -> str:
    """What is answered, or that nothing is."""
    try:
        return requests.post(f"{server.url}/score/b", json={"data": POISON}, timeout=30).text
    except requests.ConnectionError:
        return "ended"


@pytest.mark.long
def test_a_single_process_gives_up_on_a_model_that_has_ended_it_by_three_predictions(
    poisonable: Path,
) -> None:
    for _ in range(3):
        with tempfile.TemporaryDirectory() as home:
            server = start(Path(home), settings(poisonable))
            server.wait_for("/readyz")
            assert server.score("b", ROW) == [3.0]
            assert poison(server) == "ended"
            assert server.process.wait(PATIENCE_S) == -signal.SIGSEGV
    with serving("/livez", **settings(poisonable)) as server:
        server.wait_until(lambda: "3 times in an hour while it predicted" in reason(server))
        assert "3 times in an hour while it predicted" in poison(server)
        check_others(server)
        assert "in predict" in server.log(), "where the process before ended"


@pytest.mark.long
def test_with_workers_a_model_that_dies_of_some_rows_is_set_aside(poisonable: Path) -> None:
    with serving(SERVE_WORKERS="2", **settings(poisonable)) as server:
        until, refused = time.monotonic() + PATIENCE_S, 0
        while refused < 20:
            refused = refused + 1 if "while it predicted" in poison(server) else 0
            assert time.monotonic() < until, server.log()
            time.sleep(0.05)
        check_others(server)

    assert 3 <= server.log().count("was ended by SIGSEGV") <= 4


def test_a_stop_in_mid_load_counts_for_nothing(tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    odd_models.save(registry, "slow", odd_models.SlowToLoad())
    gate = odd_models.Gate(tmp_path / "gate")
    with serving("/livez", GATE=str(gate.folder), **settings(registry)) as server:
        gate.wait("load", 1)
        assert len(list((tmp_path / "cache/loading").glob("[!.]*"))) == 1
        assert server.stop() == 0

    assert list((tmp_path / "cache/loading").glob("[!.]*")) == []
    gate.open()
    with serving(GATE=str(gate.folder), **settings(registry)) as server:
        assert list((tmp_path / "cache/crashes").iterdir()) == []


KILLED_BYTES = 3 << 20


@pytest.mark.parametrize(
    "kills", [pytest.param(10, marks=pytest.mark.long), pytest.param(50, marks=pytest.mark.full)]
)
def test_killed_at_a_random_moment_of_fetching_and_loading_the_next_start_serves_whole_models(
    azure: Azure, tmp_path: Path, kills: int
) -> None:
    prefix = f"t-{uuid.uuid4().hex[:8]}"
    source = tmp_path / "source"
    for number in range(3):
        folder = models.table(source / f"m{number}" / "1", number, KILLED_BYTES)
        azure.storage.put_folder("models", f"{prefix}/m{number}/1", folder)
    cache = tmp_path / "cache"
    found = set[str]()
    with Proxy(azure.storage.port, rate=4 << 20) as slow:
        sas = azure.storage.sas("models", lasts_s=24 * 3600)
        given = {
            "SERVE_REGISTRY": f"{Storage(slow.port).url}/models/{prefix}?{sas}",
            "SERVE_MODELS": "m0,m1,m2",
            "SERVE_CACHE_DIR": str(cache),
        }
        started = time.monotonic()
        with serving(**given):
            whole_s = time.monotonic() - started
        for _ in range(kills):
            shutil.rmtree(cache)
            with tempfile.TemporaryDirectory() as home:
                server = start(Path(home), given)
                time.sleep(random.uniform(0.3, 1.0) * whole_s)
                server.stop(signal.SIGKILL)
            found |= {path.parent.name for path in cache.glob("*/*")}
            with serving(**given) as server:
                for number in range(3):
                    assert server.score(f"m{number}", ROW) == [[float(number)]]
            check_cache(cache, source)

    assert "partial" in found, "no kill came while files were fetched"


def check_cache(cache: Path, source: Path) -> None:
    """What is there is whole, and nothing else is."""
    assert list((cache / "partial").iterdir()) == []
    assert [path for path in (cache / "loading").iterdir() if path.name != ".lock"] == []
    assert [path for path in (cache / "crashes").iterdir() if not path.name.startswith(".")] == []
    kept = {path.relative_to(path.parents[2]) for path in cache.glob("models/*/*/*/*")}
    assert kept == {path.relative_to(source) for path in source.glob("*/*/*")}
    for path in cache.glob("models/*/*/*/*"):
        assert path.read_bytes() == (source / path.relative_to(path.parents[2])).read_bytes()
