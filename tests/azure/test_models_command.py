"""`aml-serve models` on Azure ML: what azure-ai-ml registers, and what is told when it cannot."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from typer.testing import Result

from tests.azure.authority import SECRET
from tests.azure.control_plane import CONTAINER, REGISTRY, Place
from tests.azure.fixtures import OLDER, Azure
from tests.azure.storage import ACCOUNT, KEY
from tests.commands import models
from tests.server import SAMPLES, environment, run, serving

CHURN = SAMPLES / "churn/1"
WORKSPACE = "azureml://workspace"
SHARED = f"azureml://registries/{REGISTRY}"

Command = Callable[..., Result]


@pytest.fixture
def command(azure: Azure, tmp_path: Path) -> Command:
    """`aml-serve models` in the workspace."""
    azure.storage.container(CONTAINER)
    return lambda *a, **more: models(tmp_path, {**OLDER, **more}, *a)


@pytest.mark.parametrize("place", [WORKSPACE, SHARED])
def test_all_that_is_said_of_a_model_is_registered_with_it(
    command: Command, azure: Azure, place: str
) -> None:
    given = ["-d", "mine", "-t", "team=a=b"]
    done = command("register", CHURN, "--name", "churn", *given, SERVE_REGISTRY=place)

    assert done.stdout == "churn:1\n"
    assert done.stderr.startswith("next: aml-serve score churn:1")
    assert len(done.stderr.splitlines()) == 1
    there = azure.plane.workspace if place == WORKSPACE else azure.plane.registry
    told = there.models["churn"]["1"]["properties"]
    assert (told["description"], told["modelType"]) == ("mine", "custom_model")
    assert (told["tags"]["team"], told["tags"]["algorithm"]) == ("a=b", "naive Bayes")
    assert len(told["properties"]["sha256"]) == 64


@pytest.mark.parametrize("place", [WORKSPACE, SHARED])
@pytest.mark.parametrize("source", [CHURN, CHURN / "model.joblib"])
def test_what_is_pulled_is_what_was_registered(
    command: Command, place: str, source: Path, tmp_path: Path
) -> None:
    command("register", source, "--name", "m", SERVE_REGISTRY=place)
    pulled = command("pull", "m", "--to", tmp_path / "to", SERVE_REGISTRY=place)

    assert pulled.exit_code == 0, pulled.stderr
    files = [source] if source.is_file() else list(source.iterdir())
    assert {p.name: p.read_bytes() for p in (tmp_path / "to/m/1").iterdir()} == {
        p.name: p.read_bytes() for p in files
    }


def test_hidden_files_are_not_uploaded_and_no_list_of_them_is_read(
    command: Command, azure: Azure, tmp_path: Path
) -> None:
    given = tmp_path / "mine"
    given.mkdir()
    (given / "model.onnx").write_bytes(b"only here")
    (given / ".env").write_text("SECRET=1")
    (given / ".amlignore").write_text("*.onnx")
    command("register", given, "--name", "hidden")

    path = azure.plane.workspace.models["hidden"]["1"]["properties"]["modelUri"].partition("paths/")
    blobs = azure.storage.container(CONTAINER).list_blob_names(name_starts_with=path[2])
    assert [Path(name).name for name in blobs] == ["model.onnx"]


def test_a_folder_of_mlflow_is_registered_as_such(
    command: Command, azure: Azure, tmp_path: Path
) -> None:
    given = tmp_path / "mine"
    given.mkdir()
    (given / "MLmodel").write_text("flavors: {onnx: {data: model.onnx}}")
    (given / "model.onnx").write_bytes(b"any")
    command("register", given, "--name", "m")

    told = azure.plane.workspace.models["m"]["1"]["properties"]
    assert told["modelType"] == "mlflow_model"


@pytest.mark.parametrize("place", ["workspace", "registry"])
def test_versions_without_flavors_are_no_fault(
    command: Command, azure: Azure, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    azure.plane.register("churn", "4", "any", place=place, flavors=None)
    there = azure.plane.workspace if place == "workspace" else azure.plane.registry
    put = there.put

    def put_without(_: Place, name: str, version: str, told: Mapping[str, Any]) -> dict[str, Any]:
        return put(name, version, {**told, "flavors": None})

    monkeypatch.setattr(Place, "put", put_without)
    url = WORKSPACE if place == "workspace" else SHARED
    done = command("register", CHURN, "--name", "churn", SERVE_REGISTRY=url)

    assert (done.stdout, done.stderr[:4]) == ("churn:5\n", "next")


def test_who_comes_second_gets_the_next_number(
    command: Command, azure: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are told the same next number, as when both ask before either has registered."""
    command("register", CHURN, "--name", "churn")
    told = azure.plane._container
    stale = [True]

    def container(*given: Any) -> dict[str, Any]:
        found = told(*given)
        if stale and stale.pop():
            found["properties"]["nextVersion"] = "1"
        return found

    monkeypatch.setattr(azure.plane, "_container", container)

    assert command("register", SAMPLES / "churn/2", "--name", "churn").stdout == "churn:2\n"


@pytest.mark.parametrize("place", [WORKSPACE, SHARED])
def test_a_version_never_changes(command: Command, place: str) -> None:
    given = ["--name", "churn", "--version", "7"]
    assert command("register", CHURN, *given, SERVE_REGISTRY=place).stdout == "churn:7\n"
    again = command("register", SAMPLES / "churn/2", *given, SERVE_REGISTRY=place)

    assert (again.exit_code, again.stdout) == (1, "")
    assert again.stderr.startswith("churn:7 is registered already")


FORBIDDEN = {"error": {"code": "AuthorizationFailed", "message": "the client does not have"}}


@pytest.mark.parametrize(
    ("arguments", "status", "body", "reason"),
    [
        (["register", CHURN, "-n", "m"], 403, FORBIDDEN, 'the role "AzureML Data Scientist"'),
        (["list"], 403, FORBIDDEN, 'the role "AzureML Data Scientist"'),
        (["show", "m"], 401, {}, "AZURE_TENANT_ID"),
        (["pull", "m"], 403, FORBIDDEN, 'the role "AzureML Data Scientist"'),
    ],
)
def test_what_azure_refuses_is_told_with_its_mend(
    command: Command,
    azure: Azure,
    arguments: list[str],
    status: int,
    body: dict[str, Any],
    reason: str,
) -> None:
    azure.plane.fail("/models", status, body=body)
    done = command(*arguments)

    assert (done.exit_code, done.stdout) == (1, "")
    assert reason in done.stderr
    assert SECRET not in done.stderr


def test_storage_that_may_not_be_written_is_told_and_never_waited_for(
    azure: Azure, tmp_path: Path
) -> None:
    """azure-ai-ml alone waits for ever for an upload that failed."""
    azure.storage.container(CONTAINER)
    (tmp_path / "given").mkdir()
    (tmp_path / "given/model.onnx").write_bytes(b"never there before")
    (tmp_path / "given/schema.json").write_text("{}")
    sas = generate_container_sas(
        ACCOUNT, CONTAINER, KEY,
        permission=ContainerSasPermissions(read=True, list=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )  # fmt: skip
    azure.plane.credentials = "Sas"
    azure.plane.secret = lambda: {"secretsType": "Sas", "sasToken": sas}
    settings = {**azure.environment(), **OLDER, "SERVE_REGISTRY": ""}
    done = run(
        tmp_path, "models", "register", str(tmp_path / "given"), "-n", "m", settings=settings
    )

    assert (done.returncode, done.stdout) == (1, b"")
    (line,) = done.stderr.decode().splitlines()
    assert 'the role "Storage Blob Data Contributor" on the storage account' in line
    assert "sig=" not in line
    assert azure.plane.workspace.models == {}


def test_a_registry_without_signatures_is_told(command: Command, azure: Azure) -> None:
    azure.plane.registry_gives_sas = False
    done = command("register", CHURN, "--name", "m", SERVE_REGISTRY=SHARED)

    assert done.exit_code == 1
    assert done.stderr.startswith("registry shared ")


def test_files_that_were_changed_since_are_not_pulled(
    command: Command, azure: Azure, tmp_path: Path
) -> None:
    command("register", CHURN, "--name", "churn")
    told = azure.plane.workspace.models["churn"]["1"]["properties"]
    told["properties"]["sha256"] = "a" * 64
    done = command("pull", "churn", "--to", tmp_path / "to")

    assert done.exit_code == 1
    assert "its files are not those that were registered" in done.stderr
    assert list((tmp_path / "to").iterdir()) == []


def test_a_server_starts_from_what_was_pulled_while_azure_is_away(
    command: Command, azure: Azure, tmp_path: Path
) -> None:
    for number in (1, 2):
        command("register", SAMPLES / f"churn/{number}", "--name", "churn")
    config = tmp_path / "config.yaml"
    config.write_text("models: [churn, {name: nobody}, {name: other, preload: false}]")
    pulled = command("pull", "--config", config)
    assert (pulled.exit_code, pulled.stdout[:8]) == (1, "churn:2 ")
    assert pulled.stderr.startswith("nobody: no model 'nobody' in the registry")

    azure.plane.fail("")
    settings = {**OLDER, "SERVE_REGISTRY": "", "SERVE_CACHE_DIR": str(tmp_path / "cache")}
    with serving(SERVE_MODELS="churn", **azure.environment(), **settings) as server:
        assert server.models()["churn"]["version"] == "2"


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [(["models", "pull"], b"churn:1  /"), (["check"], b"\nchurn would be served\n")],
)
def test_a_terminal_sees_how_far_a_fetch_is(
    command: Command, azure: Azure, tmp_path: Path, arguments: list[str], printed: bytes
) -> None:
    command("register", CHURN, "--name", "churn")
    ours, theirs = pty.openpty()
    settings = {**azure.environment(), **OLDER, "SERVE_REGISTRY": "", "TERM": "xterm"}
    with ThreadPoolExecutor(1) as reader:
        seen = reader.submit(_read, ours)
        done = subprocess.run(
            [sys.executable, "-m", "app", *arguments, "churn"],
            env=environment(tmp_path, settings), stdout=subprocess.PIPE, stderr=theirs, check=True,
        )  # fmt: skip
        os.close(theirs)
        told = seen.result(30)
    os.close(ours)

    assert printed in done.stdout
    assert "kB" in told
    assert "churn" in told


def test_the_list_is_the_same_for_people_and_programs(command: Command) -> None:
    for number in (1, 2):
        command("register", SAMPLES / f"churn/{number}", "--name", "churn")
    told = json.loads(command("list", "churn", "--output", "json").stdout)
    lines = command("list", "churn").stdout.splitlines()

    assert [row["version"] for row in told] == ["1", "2"]
    assert [line.split()[:2] for line in lines[1:]] == [["churn", "1"], ["churn", "2"]]


def _read(terminal: int) -> str:
    """Until its other side is closed."""
    seen = b""
    try:
        while chunk := os.read(terminal, 65536):
            seen += chunk
    except OSError:
        pass
    return seen.decode()
