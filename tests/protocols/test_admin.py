"""Admin routes: who may, what they change, and that all workers and a restart know of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.commands import models
from tests.server import Server, serving
from tests.serving import write_model

KEYS = {"SERVE_ADMIN_KEYS": "root", "SERVE_REFRESH_S": "0"}
ADMIN = {"x-api-key": "root"}


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    for version in ("1", "2"):
        write_model(tmp_path / "registry", "double", version)
    return tmp_path / "registry"


def admin(server: Server, method: str, path: str, status: int = 200, **more: Any) -> dict[str, Any]:
    answer = requests.request(
        method, f"{server.url}/admin/models/{path}", headers=ADMIN, timeout=60, **more
    )
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    return told


def version(server: Server, **more: Any) -> str:
    """Which one answers; on a connection of its own, so by any worker."""
    answer = requests.post(f"{server.url}/score/double", json={"data": [[1.0]]}, timeout=60, **more)
    return answer.headers.get("x-model-version", f"{answer.status_code} {answer.text}")


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_who_has_no_admin_key_may_not(registry: Path) -> None:
    with serving(SERVE_REGISTRY=str(registry)) as server:
        assert server.post("/admin/models/double/unload").status_code == 403
    settings = {**KEYS, "SERVE_API_KEYS": "user"}
    with serving(SERVE_REGISTRY=str(registry), **settings) as server:
        for headers, status in (({}, 401), ({"x-api-key": "user"}, 401), (ADMIN, 200)):
            path = "/admin/models/double/refresh"
            assert server.post(path, headers=headers).status_code == status
        assert version(server, headers=ADMIN) == "2"


def test_labels_and_shares_hold_at_once(registry: Path) -> None:
    with serving(SERVE_REGISTRY=str(registry), **KEYS) as server:
        admin(server, "PUT", "double/labels", json={"stable": "1"})
        assert version(server, headers={"azureml-model-deployment": "stable"}) == "1"
        admin(server, "PUT", "double/traffic", json={"1": 100, "2": 0})
        assert version(server) == "1"
        admin(server, "PUT", "double/traffic", json={})
        assert version(server) == "2"


def test_a_version_is_loaded_and_a_model_unloaded(registry: Path) -> None:
    with serving(SERVE_REGISTRY=str(registry), **KEYS) as server:
        told = admin(server, "POST", "double/load", json={"version": "1"})
        assert told["versions"] == [
            {"version": "1", "state": "READY"}, {"version": "2", "state": "READY"},
        ]  # fmt: skip
        assert admin(server, "POST", "double/unload")["versions"] == []
        assert "was unloaded" in version(server)
        admin(server, "POST", "double/load")
        assert version(server) == "2"


def test_what_cannot_be_served_is_told_and_gets_no_traffic(registry: Path) -> None:
    (write_model(registry, "double", "3") / "model.onnx").write_bytes(b"no model")
    with serving(SERVE_REGISTRY=str(registry), SERVE_MODELS="double:2", **KEYS) as server:
        told = admin(server, "PUT", "double/traffic", 503, json={"2": 50, "3": 50})
        assert "cannot be served" in told["message"]
        assert {version(server) for _ in range(10)} == {"2"}
        told = admin(server, "POST", "double/load", 404, json={"version": "9"})
        assert told["code"] == "model-not-found"


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("PUT", "double/labels", {"a b": "1"}),
        ("PUT", "double/labels", {"stable": "../1"}),
        ("PUT", "double/labels", ["stable"]),
        ("PUT", "double/traffic", {"1": -1}),
        ("PUT", "double/traffic", {"1": "much"}),
        ("POST", "double/load", {"version": ".."}),
        ("POST", "double/load", {"version": 1.5}),
    ],
)
def test_what_cannot_be_meant_is_refused(
    served: Server, method: str, path: str, sent: object
) -> None:
    told = admin(served, method, path, 400, json=sent)
    assert told["code"] == "bad-request"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("registry")
    write_model(folder, "double", "1")
    with serving(SERVE_REGISTRY=str(folder), **KEYS) as server:
        yield server


def test_all_workers_and_a_restart_know_of_it(registry: Path, tmp_path: Path) -> None:
    settings = {**KEYS, "SERVE_CACHE_DIR": str(tmp_path / "cache"), "SERVE_WORKERS": "2"}
    with serving(SERVE_REGISTRY=str(registry), **settings) as server:
        admin(server, "PUT", "double/traffic", json={"1": 1})
        until(lambda: {version(server) for _ in range(12)} == {"1"})
    with serving(SERVE_REGISTRY=str(registry), **settings) as server:
        until(lambda: version(server) == "1")


def test_a_changed_configuration_file_takes_effect_without_a_restart(
    registry: Path, tmp_path: Path
) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text("models: [{name: double, version: 1}]")
    settings = {"SERVE_REGISTRY": str(registry), "SERVE_CONFIG": str(config)}
    with serving(**settings) as server:
        assert version(server) == "1"
        config.write_text("models: [{name: double, version: 2")
        until(lambda: "the configuration stays as it was: serve.yaml" in server.log())
        assert version(server) == "1"
        config.write_text("models: [{name: double, version: 2}]")
        until(lambda: version(server) == "2")
        assert list(server.models()) == ["double"]


def test_the_same_by_commands(registry: Path, tmp_path: Path) -> None:
    def command(status: int, *arguments: str, key: str = "root") -> str:
        given = {"SERVE_ADMIN_KEYS": key, "SERVE_PORT": str(server.port)}
        done = models(tmp_path, given, *arguments)
        assert done.exit_code == status, done.output
        return done.output

    with serving(SERVE_REGISTRY=str(registry), **KEYS) as server:
        assert command(0, "load", "double:1") == "double:1  READY\ndouble:2  READY\n"
        command(0, "label", "double", "stable=1")
        assert version(server, headers={"azureml-model-deployment": "stable"}) == "1"
        command(0, "traffic", "double", "1=1")
        assert version(server) == "1"
        command(0, "refresh", "double", "--url", server.url)
        assert command(0, "unload", "double") == "double  not served\n"
        assert "no model 'nobody'" in command(1, "load", "nobody")
        assert "the key is not known" in command(1, "unload", "double", key="other")
        assert "is not VERSION=SHARE" in command(2, "traffic", "double", "half")
    assert "does not answer" in command(1, "unload", "double")
    assert "SERVE_ADMIN_KEYS is not set" in command(2, "unload", "double", key="")
