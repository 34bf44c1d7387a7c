"""The lock files, and the conda file, agree with pyproject.toml and with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.server import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = sorted(PROJECT["project"]["optional-dependencies"])
LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)
HEAVY = {"azure-ai-ml", "joblib", "opencensus", "pandas", "scikit-learn", "scipy", "skops"}


def locked(name: str) -> set[tuple[str, str]]:
    """Package and version; several versions of one where they depend on Python's."""
    return set(LOCKED.findall((ROOT / name).read_text()))


def bounds(requirement: str) -> tuple[str, str]:
    """Name and the rest, without extras of the package."""
    found = re.fullmatch(r"([A-Za-z0-9._-]+)(\[.*\])?(.*)", requirement)
    assert found is not None
    return found[1], found[3]


@pytest.mark.parametrize("name", [*EXTRAS, "build", "slim"])
def test_each_set_has_the_versions_that_the_tests_run_with(name: str) -> None:
    all_of_them = locked("requirements-dev.txt")
    assert locked(f"requirements-{name}.txt") <= all_of_them


@pytest.mark.parametrize("path", sorted(ROOT.glob("requirements*.txt")), ids=lambda p: p.name)
def test_each_locked_package_has_hashes_and_no_lock_names_an_index(path: Path) -> None:
    text = path.read_text()
    assert len(re.findall(r"^\S+==", text, re.MULTILINE)) == len(
        re.findall(r"^\S+==[^\n]*\\\n +--hash=sha256:", text, re.MULTILINE)
    )
    assert "://" not in text


def test_the_slim_set_is_part_of_what_the_project_needs_with_the_same_bounds() -> None:
    slim = {bounds(each) for each in PROJECT["dependency-groups"]["slim"]}
    assert slim <= {bounds(each) for each in PROJECT["project"]["dependencies"]}
    assert not HEAVY & {name for name, _ in locked("requirements-slim.txt")}


def test_the_set_for_graphics_processors_differs_by_onnxruntime_alone() -> None:
    plain, gpu = locked("requirements.txt"), locked("requirements-gpu.txt")
    assert {name for name, _ in plain - gpu} == {"onnxruntime"}
    assert {name for name, _ in gpu - plain} == {"onnxruntime-gpu"}


def test_the_conda_file_is_read_strictly_and_installs_the_locked_set() -> None:
    rattler = pytest.importorskip("rattler", reason="py-rattler is not installed")
    document = yaml.safe_load((ROOT / "project_env.yml").read_text())
    *packages, pip = document["dependencies"]
    python, installer = (rattler.MatchSpec(package, strict=True) for package in packages)
    assert (python.name.normalized, installer.name.normalized) == ("python", "pip")
    assert pip == {"pip": ["-r requirements.txt"]}
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert str(python.version).startswith(f">={oldest}")
