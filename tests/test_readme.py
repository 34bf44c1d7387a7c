"""The README's requests, sent as they stand."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import app
from tests.server import SAMPLES, Server, serving

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CALLS = re.findall(r"```console\n\$ (.*?)\n([{\"][^\n]*[}\"])\n```", README, re.DOTALL)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(SERVE_REGISTRY=str(SAMPLES)) as server:
        yield server


def test_the_readme_has_a_call_for_each_sample_and_one_that_is_refused() -> None:
    assert len(CALLS) == 6


@pytest.mark.parametrize(("call", "answer"), CALLS)
def test_a_call_of_the_readme_is_answered_as_it_says(
    server: Server, call: str, answer: str
) -> None:
    line = call.replace("http://localhost:5001", server.url)
    command = ["bash", "-c", line]
    got = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert got.startswith(answer.removesuffix(", ...}"))


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)

    assert len(README.splitlines()) <= 150
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert versions[0] == app.__version__


def test_contributing_is_short() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 60
