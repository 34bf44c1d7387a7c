"""`aml-serve models` on a folder: what is registered, listed, shown, pulled and refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import Result

from app.registries import Details
from app.registries.local import LocalRegistry
from tests.commands import models
from tests.server import CLAIM, SAMPLES, serving

CHURN = SAMPLES / "churn/1"

Command = Callable[..., Result]


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    return tmp_path / "registry"


@pytest.fixture
def command(tmp_path: Path, registry: Path) -> Command:
    """`aml-serve models` on `registry`."""
    return lambda *a, **more: models(tmp_path, {"SERVE_REGISTRY": str(registry), **more}, *a)


def test_each_registration_is_a_new_version_and_the_older_stays(
    command: Command, registry: Path
) -> None:
    for number in (1, 2, 10, 11):
        given = ["--version", "10"] if number == 10 else []
        done = command("register", CHURN, "--name", "churn", *given)
        assert (done.exit_code, done.stdout) == (0, f"churn:{number}\n")
        assert f"aml-serve score churn:{number}" in done.stderr

    assert sorted(p.name for p in registry.rglob("model.joblib")) == ["model.joblib"] * 4
    assert sorted(p.name for p in registry.iterdir()) == ["churn"]


def test_description_and_tags_go_to_the_copy_and_not_to_what_was_given(
    command: Command, registry: Path, tmp_path: Path
) -> None:
    given = tmp_path / "mine"
    given.mkdir()
    (given / "model.onnx").write_bytes(b"any")
    text = "# mine\nthreads: 2\ntags: {a: b}\n"
    (given / "manifest.yaml").write_text(text)

    command("register", given, "-n", "m", "-d", "Größe: ja", "-t", "c=d=e", "-t", "f=")

    told = json.loads(command("list", "-o", "json").stdout)[0]
    assert (told["description"], told["tags"]) == ("Größe: ja", {"a": "b", "c": "d=e", "f": ""})
    assert "threads: 2" in (registry / "m/1/manifest.yaml").read_text("utf-8")
    assert (given / "manifest.yaml").read_text() == text


def test_one_file_is_a_model_of_its_own(command: Command, registry: Path) -> None:
    command("register", CHURN / "model.joblib", "--name", "churn")

    assert [p.name for p in (registry / "churn/1").iterdir()] == ["model.joblib"]


def test_hidden_files_stay_where_they_are_and_links_are_followed(
    command: Command, registry: Path, tmp_path: Path
) -> None:
    given = tmp_path / "mine"
    (given / "__pycache__").mkdir(parents=True)
    (given / ".env").write_text("SECRET=1")
    (given / "__pycache__/a.pyc").write_text("")
    (given / "model.onnx").symlink_to(SAMPLES / CLAIM / "1/model.onnx")

    command("register", given, "--name", "m")

    (file,) = (registry / "m/1").iterdir()
    assert (file.name, file.is_symlink()) == ("model.onnx", False)


def test_two_at_once_get_two_versions(registry: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = threads.map(
            lambda _: LocalRegistry("r", str(registry)).register("m", CHURN, None, Details()),
            range(24),
        )
        assert sorted(map(int, made)) == list(range(1, 25))

    assert {len(list(v.iterdir())) for v in (registry / "m").iterdir()} == {5}


def test_what_could_not_be_served_is_refused_unless_forced(
    command: Command, registry: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.txt").write_text("no model")
    refused = command("register", tmp_path / "model.txt", "--name", "m")

    assert refused.exit_code == 1
    assert "could not be served: no model file found" in refused.stderr
    assert not (registry / "m").exists()
    assert command("register", tmp_path / "model.txt", "--name", "m", "--force").exit_code == 0


def test_a_link_that_leads_nowhere_is_told(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/model.onnx").symlink_to("nowhere")
    done = command("register", tmp_path / "mine", "--name", "m")

    assert done.exit_code == 1
    assert done.stderr.startswith(f"{tmp_path}/mine/model.onnx cannot be read: ")


def test_a_manifest_that_is_no_yaml_is_not_added_to(command: Command, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"any")
    (tmp_path / "manifest.yaml").write_text("a: [")
    forced = ["register", tmp_path, "--name", "m", "--force"]

    assert "manifest.yaml is not YAML" in command(*forced[:-1]).stderr
    assert "nothing can be added to it" in command(*forced, "-d", "mine").stderr


def test_a_version_never_changes(command: Command) -> None:
    command("register", CHURN, "--name", "churn", "--version", "7")
    again = command("register", SAMPLES / "churn/2", "--name", "churn", "--version", "7")

    assert again.exit_code == 1
    assert again.stderr.startswith("churn:7 is registered already")


def test_a_model_without_versions_is_not_hidden_by_one(command: Command, registry: Path) -> None:
    (registry / "m").mkdir(parents=True)
    (registry / "m/model.onnx").write_bytes(b"any")

    assert "move its files to m/1" in command("register", CHURN, "--name", "m").stderr


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["register", CHURN], 2, "--name"),
        (["register", "/nowhere", "-n", "m"], 2, "there is no /nowhere"),
        (["register", CHURN, "-n", "../m"], 2, "--name is '../m'; allowed: letters"),
        (["register", CHURN, "-n", ".m"], 2, "--name"),
        (["register", CHURN, "-n", "m", "--version", "a/b"], 2, "--version is 'a/b'"),
        (["register", CHURN, "-n", "m", "--version", "latest"], 2, "the newest"),
        (["register", CHURN, "-n", "m", "-t", "novalue"], 2, "--tag is 'novalue'; allowed: KEY="),
        (["list", "churm"], 1, "did you mean churn?"),
        (["list", "-o", "xml"], 2, "xml"),
        (["show", "churn:9"], 1, "has no version '9'"),
        (["show", "a b"], 2, "letters"),
        (["pull", "churm"], 1, "churm: no model 'churm' in the registry; did you mean churn?"),
        (["pull", "churn", "--config", "f"], 2, "name one of them"),
        (["pull", "--config", "/nowhere"], 2, "SERVE_CONFIG"),
    ],
)
def test_a_fault_is_one_line_with_its_mend(
    command: Command, registry: Path, arguments: list[str], code: int, reason: str
) -> None:
    command("register", CHURN, "--name", "churn")
    done = command(*arguments)

    assert done.exit_code == code
    assert reason in done.stderr
    assert done.stdout == ""


def test_without_a_registry_each_command_says_what_to_set(command: Command) -> None:
    done = command("list", SERVE_REGISTRY="")

    assert done.exit_code == 2
    assert "SERVE_REGISTRY is not set" in done.stderr


def test_blob_storage_is_filled_by_other_means(command: Command) -> None:
    url = "https://account.blob.core.windows.net/models"
    done = command("register", CHURN, "--name", "churn", SERVE_REGISTRY=url)

    assert done.exit_code == 2
    assert "copy the model's folder to NAME/VERSION/ there" in done.stderr


def test_a_registry_that_cannot_be_written_is_told(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = command("register", CHURN, "--name", "m", SERVE_REGISTRY=str(tmp_path / "file"))

    assert done.exit_code == 1
    assert "the registry folder cannot be written" in done.stderr


def test_what_others_wrote_does_not_steer_the_terminal(command: Command) -> None:
    command("register", CHURN, "--name", "m", "-d", "a\x1b[31mred\nb [bold]c[/]")
    for told in (command("list").stdout, command("show", "m").stdout):
        assert "a [31mred b [bold]c[/]" in told


def test_show_tells_columns_files_and_why_a_model_is_no_good(command: Command) -> None:
    command("register", CHURN, "--name", "churn")
    command("register", SAMPLES / CLAIM / "1", "--name", "claim")
    command("register", CHURN / "schema.json", "--name", "bad", "--force")

    told = json.loads(command("show", "churn:1", "-o", "json").stdout)
    assert told["inputs"]["satisfaction"] == "number or null"
    assert told["runtime"] == "sklearn"
    assert json.loads(command("show", "claim", "-o", "json").stdout)["inputs"] == "string"
    assert "no model file found" in command("show", "bad").stdout


def test_a_pulled_folder_is_a_registry(command: Command, tmp_path: Path) -> None:
    for name in (CHURN, SAMPLES / "churn/2"):
        command("register", name, "--name", "churn")
    config = tmp_path / "config.yaml"
    config.write_text('models: ["churn:1", {name: churn, version: 2, preload: false}, nobody]')
    pulled = command("pull", "--config", config, "--to", tmp_path / "image")

    assert pulled.exit_code == 1
    assert pulled.stdout.split() == ["churn:1", str(tmp_path / "image/churn/1")]
    assert pulled.stderr.startswith("nobody: no model 'nobody'")
    assert [p.name for p in (tmp_path / "image").iterdir()] == ["churn"]
    assert command("pull", "churn:1", "--to", tmp_path / "image").exit_code == 0
    with serving(SERVE_REGISTRY=str(tmp_path / "image")) as server:
        assert list(server.models()) == ["churn"]


def test_a_pull_that_the_configuration_does_not_trust_leaves_nothing(
    command: Command, tmp_path: Path
) -> None:
    command("register", CHURN, "--name", "churn")
    config = tmp_path / "config.yaml"
    config.write_text(f"models: [{{name: churn, sha256: {'a' * 64}}}]")
    pulled = command("pull", "--config", config, "--to", tmp_path / "image")

    assert pulled.exit_code == 1
    assert "its digest is none of those in the configuration" in pulled.stderr
    assert list((tmp_path / "image").iterdir()) == []


def test_a_command_line_that_serves_imports_nothing_of_these_commands() -> None:
    listed = "import sys, app.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", listed], capture_output=True, check=True)
    imported = set(done.stdout.decode().split())

    assert imported & {"rich", "yaml", "azure", "numpy", "fastapi", "app.registries"} == set()
    assert {m for m in imported if m.startswith("app.commands.")} == {
        "app.commands.admin",
        "app.commands.authoring",
        "app.commands.checking",
        "app.commands.models",
        "app.commands.outcome",
    }
