"""Which requirements of a user's file reach pip."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from image.conda import requirements

SAVED_BY_MLFLOW = """
channels: [conda-forge]
dependencies:
- python=3.12.3
- pip<=24.2
- pip:
  - mlflow==3.17.0
  - scikit-learn==1.9.1
name: mlflow-env
"""


@pytest.mark.parametrize("name", ["conda.yaml", "environment.yml"])
def test_of_a_conda_file_those_of_its_pip_section_do(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(SAVED_BY_MLFLOW)
    assert [*requirements(tmp_path / name)] == ["mlflow==3.17.0", "scikit-learn==1.9.1"]


def test_a_file_for_pip_is_left_to_pip(tmp_path: Path) -> None:
    assert [*requirements(tmp_path / "more.txt")] == ["-r more.txt"]


def test_packages_of_conda_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "conda.yaml"
    path.write_text("dependencies: [python-dateutil, conda-forge::lightgbm=4, python]")
    done = subprocess.run(
        [sys.executable, "image/conda.py", str(path)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "python-dateutil, conda-forge::lightgbm=4; name those" in done.stderr


def test_an_empty_file_asks_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "conda.yaml").write_text("")
    assert [*requirements(tmp_path / "conda.yaml")] == []
