"""The whole service over HTTP: loads, overload, broken registries, and what a process touches."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from app.main import build
from app.settings import Settings
from tests import odd_models
from tests.odd_models import WAITS, Gate, Odd, SlowToLoad
from tests.server import CLAIM, CUSTOMERS, SAMPLES, Server, serving


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    folder = tmp_path / "registry"
    folder.mkdir()
    return folder


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Open at the end, so that nobody waits for ever."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()


def _settings(registry: Path, gate: Gate | None = None, **more: str) -> dict[str, str]:
    given = {"SERVE_REGISTRY": f"file://{registry}", **more}
    return given if gate is None else {"GATE": str(gate.folder), **given}


def test_a_hundred_first_requests_load_a_model_once(registry: Path, gate: Gate) -> None:
    odd_models.save(registry, "cold", SlowToLoad())
    odd_models.save(registry, "other", Odd())
    with (
        serving(**_settings(registry, gate, SERVE_MODELS="other")) as server,
        ThreadPoolExecutor(100) as clients,
    ):
        answers = [clients.submit(_post, server, "cold", 1.5) for _ in range(100)]
        _wait_for_metric(server, "requests_in_flight 100.0")
        gate.open()
        told = [answer.result() for answer in answers]
    assert [answer.status_code for answer in told] == [200] * 100
    assert server.log().count("cold:1 is ready") == 1
    assert len(list(gate.folder.glob("load-*"))) == 1


def test_who_cannot_wait_for_a_load_is_told_that_it_goes_on(registry: Path, gate: Gate) -> None:
    odd_models.save(registry, "slow", SlowToLoad())
    with serving("/livez", **_settings(registry, gate)) as server:
        gate.wait("load", 1)
        answer = _post(server, "slow", 1.5, **{"x-request-timeout-ms": "50"})
        assert (answer.status_code, answer.json()["code"]) == (503, "model-loading")
        assert int(answer.headers["retry-after"]) > 0
        assert server.get("/readyz").status_code == 503
        assert server.models()["slow"]["state"] == "LOADING"
        gate.open()
        assert server.score("slow", 1.5) == 1.5


def test_a_failed_load_is_explained_and_tried_again(registry: Path) -> None:
    folder = odd_models.save(registry, "late", Odd())
    (folder / "golden.json").write_text('[{"request": {"data": 1.5}, "results": 7}]')
    with serving("/livez", **_settings(registry, SERVE_MODELS="late")) as server:
        told = _wait_for_state(server, "late", "FAILED")
        answer = _post(server, "late", 1.5)
        assert answer.status_code == 503
        assert answer.json()["code"] == "model-unavailable"
        assert told["reason"] in answer.json()["message"]
        assert int(answer.headers["retry-after"]) >= 1
        assert server.get("/readyz").status_code == 503
        (folder / "golden.json").unlink()
        server.wait_for("/readyz")
        assert server.score("late", 1.5) == 1.5


def test_more_than_may_be_in_flight_are_refused_at_once(registry: Path, gate: Gate) -> None:
    odd_models.save(registry, "odd", Odd())
    settings = _settings(registry, gate, SERVE_MAX_IN_FLIGHT="3", SERVE_THREADS="1")
    with serving(**settings) as server, ThreadPoolExecutor(3) as clients:
        inside = [clients.submit(_post, server, "odd", WAITS) for _ in range(3)]
        _wait_for_metric(server, "requests_in_flight 3.0")
        refused = [_post(server, "odd", 1.5) for _ in range(5)]
        gate.open()
        assert [answer.result().json() for answer in inside] == [{"results": WAITS}] * 3
        assert server.score("odd", 1.5) == 1.5
        assert "requests_shed_total 5.0" in server.get("/metrics").text
    assert {(r.status_code, r.json()["code"]) for r in refused} == {(503, "overloaded")}
    assert {r.headers["retry-after"] for r in refused} == {"1"}


def test_a_caller_has_a_limit_of_its_own(registry: Path, gate: Gate) -> None:
    odd_models.save(registry, "odd", Odd())
    keys = {"SERVE_API_KEYS": "one,two", "SERVE_CLIENT_MAX_IN_FLIGHT": "1"}
    with serving(**_settings(registry, gate, **keys)) as server, ThreadPoolExecutor(1) as clients:
        inside = clients.submit(_post, server, "odd", WAITS, **{"x-api-key": "one"})
        _wait_for_metric(server, "requests_in_flight 1.0")
        refused = _post(server, "odd", [], **{"x-api-key": "one"})
        other = _post(server, "odd", [], **{"x-api-key": "two"})
        gate.open()
        assert inside.result().status_code == 200
    assert (refused.status_code, refused.json()["code"]) == (429, "too-many-requests")
    assert refused.headers["retry-after"] == "1"
    assert other.status_code == 200


def _break(registry: Path) -> None:
    for name in ("empty", "two-files", "corrupt", "no-yaml", "linked"):
        (registry / name / "1").mkdir(parents=True)
    for name in ("a.onnx", "b.joblib"):
        (registry / "two-files" / "1" / name).write_bytes(b"x")
    (registry / "corrupt" / "1" / "model.onnx").write_bytes(b"not a graph" * 100)
    (registry / "no-yaml" / "1" / "manifest.yaml").write_text("a: [")
    (registry / "linked" / "1" / "model.onnx").symlink_to("/etc/passwd")
    (registry / "nothing").mkdir()
    odd_models.save_unknown(registry, "unknown-class")
    (registry / "bad name!" / "1").mkdir(parents=True)
    (registry / "a-file").write_text("x")
    (registry / "good").symlink_to(SAMPLES / CLAIM)


def test_a_good_model_is_served_among_broken_ones(registry: Path) -> None:
    _break(registry)
    with serving(**_settings(registry)) as server:
        models = server.models()
        assert server.score("good", "My house is on fire") == 0
        answers = {name: _post(server, name, 1) for name in {*models, "bad name!"} - {"good"}}
        verbose = server.get("/readyz?verbose").text
    reasons = {name: told["reason"] for name, told in models.items() if name != "good"}
    assert set(reasons) == {
        "empty", "two-files", "corrupt", "no-yaml", "linked", "unknown-class", "nothing"
    }  # fmt: skip
    assert "empty" in reasons["empty"]
    assert "a.onnx, b.joblib" in reasons["two-files"]
    assert "gone_module" in reasons["unknown-class"]
    assert all(reasons.values())
    for name, answer in answers.items():
        assert answer.status_code == (404 if name == "bad name!" else 503)
        assert str(registry) not in answer.text
    assert str(registry) not in verbose
    assert "Traceback" not in verbose


def test_a_further_registry_that_is_missing_fails_only_its_own_models(tmp_path: Path) -> None:
    config = tmp_path / "models.yaml"
    missing = tmp_path / "missing"
    config.write_text(
        f"registries: {{other: {{url: 'file://{missing}'}}}}\n"
        f"models: [{{name: {CLAIM}}}, {{name: lost, registry: other, required: false}}]\n"
    )
    with serving(SERVE_CONFIG=str(config)) as server:
        assert server.score(CLAIM, "My house is on fire") == 0
        told = _wait_for_state(server, "lost", "FAILED")
        assert "cannot be read" in told["reason"]
        assert str(missing) not in server.get("/readyz?verbose").text


SITE = """
import atexit, os, sys
atexit.register(lambda: open(os.environ["MODULES"], "w").write("\\n".join(sorted(sys.modules))))
"""


def test_a_server_of_onnx_models_imports_no_other_model_library(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITE)
    modules = tmp_path / "modules"
    settings = {"PYTHONPATH": str(tmp_path), "MODULES": str(modules), "SERVE_MODELS": CLAIM}
    with serving(**settings) as server:
        server.score(CLAIM, ["My house is on fire"] * 3, outputs=["label", "probabilities"])
        for path in ("/docs", "/openapi.json", "/metrics", "/readyz?verbose"):
            assert server.get(path).status_code == 200
        assert server.stop() == 0
    imported = {name.partition(".")[0] for name in modules.read_text().split()}
    assert "onnxruntime" in imported
    assert not imported & {
        "sklearn", "pandas", "scipy", "joblib", "azure", "msal", "fastapi_offline"
    }  # fmt: skip


def test_nothing_is_written_outside_the_cache_folder(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("home", "tmp", "cwd", "xdg")}
    for folder in folders.values():
        folder.mkdir()
    settings = {
        "HOME": str(folders["home"]),
        "TMPDIR": str(folders["tmp"]),
        "XDG_CACHE_HOME": str(folders["xdg"]),
        "SERVE_CACHE_DIR": str(tmp_path / "cache"),
    }
    command = [
        "-c",
        f"import os; os.chdir({str(folders['cwd'])!r}); from app.cli import main; main()",
    ]
    with serving("/readyz", sys.executable, *command, "serve", **settings) as server:
        server.score("churn", CUSTOMERS, outputs=["label", "probabilities"])
        server.score(CLAIM, "My house is on fire")
        server.get("/docs/assets/swagger-ui-bundle.js")
        assert server.stop() == 0
    assert [p for folder in folders.values() for p in folder.rglob("*")] == []
    written = {str(p.relative_to(tmp_path / "cache")) for p in _files(tmp_path / "cache")}
    assert {
        name for name in written if not name.startswith(("locks/", "sizes/", "answering/"))
    } <= {
        "loading/.lock"  # and no note: each load has ended
    }


def test_a_server_without_keys_warns_and_one_with_keys_does_not() -> None:
    with serving("/livez") as server:
        assert "no API key is set" in server.log()
    with serving("/livez", SERVE_API_KEYS="a") as server:
        assert "no API key is set" not in server.log()


def _files(folder: Path) -> list[Path]:
    return [Path(root) / name for root, _, names in os.walk(folder) for name in names]


def _post(server: Server, model: str, data: object, **headers: str) -> requests.Response:
    url = f"{server.url}/score/{model}"
    return requests.post(url, json={"data": data}, headers=headers, timeout=60)


def _wait_for_metric(server: Server, line: str) -> None:
    until = time.monotonic() + 30
    while line not in (text := server.get("/metrics").text):
        assert time.monotonic() < until, text
        time.sleep(0.02)


def _wait_for_state(server: Server, name: str, state: str) -> dict[str, Any]:
    until = time.monotonic() + 30
    told: dict[str, Any] = {}
    while (told := server.models().get(name, {})).get("state") != state:
        assert time.monotonic() < until, told
        time.sleep(0.02)
    return told


@pytest.mark.parametrize(
    ("workers", "given", "parts_of_it"),
    [
        ("1", "4", (4, 4, 4, 4)),
        ("2", "9", (4, 4, 4, 4)),
        ("3", "1", (1, 1, 1, 1)),
    ],
)
async def test_what_is_told_per_pod_is_divided_among_its_workers(
    tmp_path: Path, workers: str, given: str, parts_of_it: tuple[int, ...]
) -> None:
    names = ("THREADS", "MAX_IN_FLIGHT", "BODY_MEMORY_BYTES", "MEMORY_BYTES")
    settings = {f"SERVE_{name}": given for name in names} | {"SERVE_WORKERS": workers}
    paths = {"SERVE_REGISTRY": str(SAMPLES), "SERVE_CACHE_DIR": str(tmp_path)}
    parts = build(Settings.load({**settings, **paths}))
    await parts.close()

    limits = parts.limits
    of_process = (limits._max_in_flight, limits._body_memory_bytes, parts.pool._room.budget_bytes)
    assert (parts.workers.threads, *of_process) == parts_of_it


async def test_derived_memory_leaves_room_for_each_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.quota.memory_bytes", lambda: 1000)
    monkeypatch.setattr("app.quota.resident_bytes", lambda: 200)
    paths = {"SERVE_REGISTRY": str(SAMPLES), "SERVE_CACHE_DIR": str(tmp_path)}
    parts = build(Settings.load({**paths, "SERVE_WORKERS": "2"}))
    await parts.close()

    assert parts.pool._room.budget_bytes == (1000 - 2 * 200 - 100) * 0.8 / 2
