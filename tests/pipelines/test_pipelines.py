"""The pipelines call only what there is, hold no secret, and pin what they bring in."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from app.cli import main
from tests.server import ROOT

PIPELINES = sorted((*ROOT.glob("pipelines/*.yml"), *ROOT.glob(".github/workflows/*.yml")))
SCRIPTS = sorted(ROOT.glob("pipelines/*.sh"))
COMMAND = re.compile(r"(?:^|[\s(])aml-serve ((?:models|score|serve)\b[^\n)]*)", re.MULTILINE)
OTHERS = re.compile(r"\$\((?!aml-serve)[^()]*\)")
"""What another command prints."""
PRESENT = re.compile(r"\$\{\w+:\+(\"[^\"]*\")\}")
"""What a shell gives where a variable is set."""


def text_of(path: Path) -> str:
    """On one line what a backslash continues; without comments."""
    lines = path.read_text().replace("\\\n", " ").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def by_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def values(node: Any, key: str) -> Iterator[Any]:
    """Of `key`, however deep."""
    if isinstance(node, dict):
        yield from (value for name, value in node.items() if name == key)
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from values(each, key)


@pytest.mark.parametrize("path", PIPELINES, ids=by_name)
def test_scripts_and_make_targets_that_a_pipeline_calls_are_there(path: Path) -> None:
    text = text_of(path)
    assert yaml.safe_load(text)
    makefile = (ROOT / "Makefile").read_text()
    targets = [t for called in re.findall(r"\bmake ([\w ./-]+)", text) for t in called.split()]
    assert [t for t in targets if not re.search(rf"^{re.escape(t)}:", makefile, re.MULTILINE)] == []
    for script in re.findall(r"(?<!\w)pipelines/[\w-]+\.sh", text):
        assert (ROOT / script).stat().st_mode & 0o111, f"{script} cannot be run"
    called = re.findall(r"\./(\.github/workflows/[\w-]+\.yml)", text)
    assert all((ROOT / workflow).is_file() for workflow in called)


@pytest.mark.parametrize("path", SCRIPTS, ids=by_name)
def test_a_script_is_called_and_a_shell_reads_it(path: Path) -> None:
    assert any(f"pipelines/{path.name}" in text_of(pipeline) for pipeline in PIPELINES)
    assert subprocess.run(["bash", "-n", path], capture_output=True).stderr == b""


def commands() -> Iterator[list[str]]:
    for path in (*PIPELINES, *SCRIPTS):
        for found in COMMAND.findall(OTHERS.sub("told", text_of(path))):
            yield shlex.split(PRESENT.sub(r"\1", found))


@pytest.mark.parametrize("words", [*commands()], ids=" ".join)
def test_commands_of_aml_serve_are_there_with_those_options(words: list[str]) -> None:
    command: Any = typer.main.get_command(main)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(command.name, words)  # which refuses what it does not know


def test_there_are_commands_to_look_at() -> None:
    assert {" ".join(words[:2]) for words in commands()} >= {
        "models register", "models load", "models label",
    }  # fmt: skip


def test_what_helm_sets_are_values_of_the_chart() -> None:
    known = yaml.safe_load((ROOT / "charts/aml-serve/values.yaml").read_text())
    names = re.findall(r"--set(?:-string)? \"?([\w.]+)=", text_of(ROOT / "pipelines/release.sh"))
    assert len(names) == 7
    for name in names:
        value = known
        for part in name.split("."):
            assert part in value, f"{name} is no value of the chart"
            value = value[part]


@pytest.mark.parametrize("path", PIPELINES, ids=by_name)
def test_a_pipeline_holds_no_secret_and_signs_in_by_federation(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    assert not re.search(r"secrets\.|password|client-?secret", text_of(path), re.IGNORECASE)
    if "azure/login" in text_of(path):
        assert {"contents": "read", "id-token": "write"} in list(values(document, "permissions"))
        assert all("creds" not in given for given in values(document, "with"))


@pytest.mark.parametrize("path", PIPELINES, ids=by_name)
def test_what_a_pipeline_brings_in_is_pinned(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    used = [name for name in values(document, "uses") if not name.startswith("./")]
    assert [name for name in used if not re.search(r"@[0-9a-f]{40}$", name)] == []
    tasks = list(values(document, "task"))
    assert [name for name in tasks if not re.search(r"@\d+$", name)] == []
    assert "latest" not in "".join([*values(document, "runs-on"), *values(document, "vmImage")])


def test_production_follows_staging_and_has_an_environment_to_wait_at() -> None:
    github = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    assert github["staging"]["needs"] == "push"
    assert github["production"]["needs"] == "staging"
    upgrade = yaml.safe_load((ROOT / ".github/workflows/upgrade.yml").read_text())
    assert upgrade["jobs"]["upgrade"]["environment"] == "${{ inputs.stage }}"
    azure = (ROOT / "pipelines/azure-pipelines.yml").read_text()
    assert "split('staging,production', ',')" in azure
    assert "environment: aml-serve-${{ stage }}" in azure
