"""The rendered container, run as a process: it serves, is scored, and follows what is changed."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.chart.mounted import Container, container_of
from tests.chart.rendering import Manifest, only, pod, render
from tests.server import CLAIM, CUSTOMERS, SAMPLES, Server, run, serving

VALUES = {
    "models": [{"name": "churn", "version": 1, "labels": {"candidate": 2}}, CLAIM],
    "registry": f"file://{SAMPLES}",
    "auth": {"adminKey": True},
    "settings": {"SERVE_LOG_LEVEL": "warning", "SERVE_LOG_FORMAT": "text"},
    "initPull": {"enabled": True},
}


@dataclass
class Pod:
    """One that runs, and what it was made of."""

    manifests: list[Manifest]
    container: Container
    server: Server

    @property
    def keys(self) -> list[str]:
        path = Path(self.container.environment()["SERVE_API_KEYS_FILE"])
        return path.read_text().split()

    def score(self, key: str = "", path: str = "/score/churn") -> requests.Response:
        headers = {"x-api-key": key} if key else {}
        return self.server.post(path, json={"data": CUSTOMERS[0]}, headers=headers)

    def put(self, **values: Any) -> None:
        """As an upgrade changes ConfigMap and Secrets below a pod that runs."""
        fresh = render(values={**VALUES, **values})
        kept = [m for m in self.manifests if m["metadata"]["name"].endswith("-keys")]
        changed = [m for m in fresh if not m["metadata"]["name"].endswith("-keys")]
        container_of(pod(fresh)["spec"], [*changed, *kept], self.container.folder)


@contextmanager
def started(folder: Path) -> Iterator[Pod]:
    manifests = copy.deepcopy(render(values=VALUES))
    container = container_of(pod(manifests)["spec"], manifests, folder)
    command = (sys.executable, "-m", "app", *container.spec["args"])
    probe = container.spec["readinessProbe"]["httpGet"]["path"]
    own = {"SERVE_HOST": "127.0.0.1", "SERVE_PORT": "0", "SERVE_LOG_LEVEL": "info"}
    with serving(probe, *command, **{**container.environment(), **own}) as server:
        yield Pod(manifests, container, server)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    """One that nobody changes."""
    with started(tmp_path_factory.mktemp("pod")) as found:
        yield found


@pytest.fixture
def changing(tmp_path: Path) -> Iterator[Pod]:
    with started(tmp_path) as found:
        yield found


def test_the_rendered_container_scores_for_those_who_have_a_key(running: Pod) -> None:
    first, second = running.keys

    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        path = running.container.spec[probe]["httpGet"]["path"]
        assert running.server.get(path).status_code == 200
    assert running.score().status_code == 401
    assert running.score(first).json() == {"results": "stays"}
    assert running.score(second).headers["x-model-version"] == "1"
    assert running.score(first, "/score/churn/versions/candidate").status_code == 200


def test_models_change_without_a_restart(changing: Pod) -> None:
    key = changing.keys[0]

    changing.put(models=[{"name": "churn", "version": 2}])

    changing.server.wait_until(lambda: changing.score(key).headers.get("x-model-version") == "2")


def test_a_key_is_replaced_without_a_restart(changing: Pod) -> None:
    old, kept = changing.keys
    for each in changing.manifests:
        if each["metadata"]["name"].endswith("-keys"):
            each["stringData"] = {"keys": f"{kept}\nfresh-key\n"}
    changing.container.mount()

    changing.server.wait_until(lambda: changing.score(old).status_code == 401)
    assert changing.score(kept).status_code == 200
    assert changing.score("fresh-key").status_code == 200


def test_the_admin_key_administers(changing: Pod) -> None:
    key = changing.container.environment()["SERVE_ADMIN_KEYS"]

    answer = changing.server.post(
        "/admin/models/churn/load", json={"version": "2"}, headers={"x-api-key": key}
    )

    assert answer.json()["versions"] == [
        {"version": "1", "state": "READY"},
        {"version": "2", "state": "READY"},
    ]


def helm_test(running: Pod, **env: str) -> subprocess.CompletedProcess[str]:
    """The pod of `helm test`, with the server's address."""
    spec = only(running.manifests, "Pod")["spec"]
    tester = container_of(spec, running.manifests, running.container.folder)
    python, *words = tester.spec["command"]
    assert python == "python"
    assert tester.environment()["SCORE_URL"] == "http://models-aml-serve:80"
    return subprocess.run(
        [sys.executable, *words, *tester.spec["args"]],
        env={**tester.environment(), "SCORE_URL": running.server.url, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_helm_test_scores(running: Pod) -> None:
    told = helm_test(running)

    assert told.returncode == 0, told.stderr
    assert "ready: ready" in told.stdout
    assert '-> {"results": ' in told.stdout


def test_helm_test_scores_what_it_is_told_to(running: Pod) -> None:
    by_name = helm_test(running, SCORE_MODEL=CLAIM)
    by_request = helm_test(
        running, SCORE_MODEL=CLAIM, SCORE_REQUEST='{"data": "My house is on fire"}'
    )

    assert f"/score/{CLAIM}" in by_name.stdout, by_name.stderr
    assert by_request.stdout.endswith('-> {"results": 0}\n')


def test_helm_test_fails_when_a_model_is_not_served(running: Pod) -> None:
    told = helm_test(running, SCORE_MODEL="unknown")

    assert told.returncode == 1
    assert "/score/unknown answered 404" in told.stderr


def test_the_init_container_fetches_into_the_same_folder(tmp_path: Path) -> None:
    manifests = render(values=VALUES)
    pull = container_of(pod(manifests)["spec"], manifests, tmp_path, "pull")
    words = [word.replace("/etc/", f"{tmp_path}/etc/") for word in pull.spec["args"]]

    done = run(tmp_path, *words, settings=pull.environment())

    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.decode().splitlines()] == [
        "churn:1",
        f"{CLAIM}:1",
    ]
