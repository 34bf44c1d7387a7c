"""A server goes on with the models it has, whatever becomes of those it loads from Azure."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.azure.control_plane import CONTAINER
from tests.azure.fixtures import OLDER, Azure
from tests.azure.gateway import Gateway
from tests.server import CLAIM, CUSTOMERS, SAMPLES, Server, serving

LONG = pytest.mark.long


@pytest.fixture
def workspace(azure: Azure) -> Azure:
    """It has the models `churn` and `other`, with equal files."""
    for name in ("churn", "other"):
        azure.storage.put_folder(CONTAINER, f"untouched/{name}", SAMPLES / "churn/2")
        azure.plane.register(name, "2", f"untouched/{name}")
    azure.storage.put_folder(CONTAINER, "untouched/claim", SAMPLES / CLAIM / "1")
    azure.plane.register("claim", "1", "untouched/claim", tags={"team": "claims"})
    return azure


@contextmanager
def served(azure: Azure, folder: Path, text: str, wait_for: str = "/readyz") -> Iterator[Server]:
    """By the configuration `text`, from the workspace of the older variables."""
    (folder / "config.yaml").write_text(text)
    given = {**azure.environment(), **OLDER, "SERVE_CONFIG": str(folder / "config.yaml")}
    with serving(wait_for, **given, SERVE_REGISTRY="", SERVE_ON_DEMAND="true") as server:
        yield server


def until_reason(server: Server, name: str) -> str:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        told = server.models().get(name, {})
        if reason := told.get("reason"):
            return str(reason)
        time.sleep(0.05)
    raise AssertionError(server.log())


FAULTS = {
    "403 on the blob": (403, "AuthorizationFailure", "firewall does not let this network in"),
    "gone": (404, "BlobNotFound", "was changed or deleted while it was fetched"),
    "busy": (503, "ServerBusy", "503 ServerBusy: it is asked again later"),
}


@pytest.mark.parametrize(
    "fault", ["403 on the blob", *(pytest.param(name, marks=LONG) for name in ("gone", "busy"))]
)
def test_a_model_answers_while_another_fails_to_load_and_the_reason_is_told(
    workspace: Azure, gateway: Gateway, tmp_path: Path, fault: str
) -> None:
    status, code, told = FAULTS[fault]
    gateway.fail("untouched/other/", status, code)
    text = "models: [{name: churn}, {name: other, required: false}]"
    with served(workspace, tmp_path, text) as server:
        assert told in until_reason(server, "other")
        assert server.score("churn", CUSTOMERS[0])
        assert server.models()["churn"]["state"] == "READY"
        assert server.post("/score/other", json={"data": CUSTOMERS[0]}).status_code == 503
        gateway.faults.clear()
        until = time.monotonic() + 30
        while server.models()["other"]["state"] != "READY":
            assert time.monotonic() < until
            time.sleep(0.1)
        assert server.score("other", CUSTOMERS[0]) == server.score("churn", CUSTOMERS[0])


def test_probes_and_models_answer_at_once_while_a_download_stalls_and_a_stop_is_prompt(
    workspace: Azure, gateway: Gateway, tmp_path: Path
) -> None:
    gateway.fail("untouched/other/", hang_at=10)
    text = "models: [{name: churn}, {name: other, required: false}]"
    with served(workspace, tmp_path, text, wait_for="/livez") as server:
        until = time.monotonic() + 30
        while server.models()["churn"]["state"] != "READY":
            assert time.monotonic() < until, server.log()
            time.sleep(0.05)
        started = time.monotonic()
        assert server.get("/livez").status_code == 200
        assert time.monotonic() - started < 0.5
        assert server.models()["other"]["step"] == "fetch"
        assert server.score("churn", CUSTOMERS[0])
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 10


@pytest.mark.parametrize("version", ["latest", pytest.param("'2'", marks=LONG)])
def test_a_restart_serves_from_the_store_while_azure_is_away(
    workspace: Azure, tmp_path: Path, version: str
) -> None:
    text = f"models: [{{name: churn, version: {version}}}]"
    (tmp_path / "config.yaml").write_text(text)
    given = {
        **workspace.environment(), **OLDER, "SERVE_CONFIG": str(tmp_path / "config.yaml"),
        "SERVE_REGISTRY": "", "SERVE_CACHE_DIR": str(tmp_path / "cache"),
    }  # fmt: skip
    with serving("/readyz", **given) as server:
        before = server.score("churn", CUSTOMERS)
    workspace.plane.fail("/", 503)
    workspace.authority.fail("/", 503)

    with serving("/readyz", **given) as server:
        assert server.score("churn", CUSTOMERS) == before
        assert server.models()["churn"]["version"] == "2"


def test_what_the_registry_knows_of_a_version_is_told(workspace: Azure, tmp_path: Path) -> None:
    told: dict[str, Any] = {
        "description": "Who leaves.", "tags": {"team": "sales"}, "properties": {"auc": "0.9"},
        "stage": "Production",
    }  # fmt: skip
    workspace.plane.register("churn", "2", "untouched/churn", **told)
    with served(workspace, tmp_path, "models: [{name: churn}]") as server:
        model = server.models()["churn"]
        assert {key: model[key] for key in told} == told
        assert "2026-01-01" in model["created_at"]
        document = server.get("/openapi.json").json()
        assert "Who leaves." in str(document["paths"]["/score/churn"]["post"])


@pytest.mark.parametrize("place", ["tags", pytest.param("properties", marks=LONG)])
def test_files_that_are_not_those_of_the_registered_sha256_are_refused(
    workspace: Azure, tmp_path: Path, place: str
) -> None:
    sha256: dict[str, Any] = {place: {"sha256": "0" * 64}}
    workspace.plane.register("other", "2", "untouched/other", **sha256)
    text = "models: [{name: churn}, {name: other, required: false}]"
    with served(workspace, tmp_path, text) as server:
        assert "are not those that were registered" in until_reason(server, "other")
        assert server.score("churn", CUSTOMERS[0])
