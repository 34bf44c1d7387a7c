"""The training environment, as a model folder tells it, beside the present one."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest

from app import manifest
from app.errors import ModelInvalid
from app.manifest.requirements import agree, differences, installed, read


@pytest.mark.parametrize(
    ("line", "pinned"),
    [
        ("numpy=1.26", {"numpy": "1.26.*"}),
        ("numpy=1.26.*", {"numpy": "1.26.*"}),
        ("numpy==1.26.4", {"numpy": "1.26.4"}),
        ("numpy=1.26.4=py311_0", {"numpy": "1.26.4"}),
        ("numpy 1.26.4 py311_0", {"numpy": "1.26.4"}),
        ("conda-forge::scikit_learn=1.4", {"scikit-learn": "1.4.*"}),
        ("python=3.11", {"python": "3.11.*"}),
        ("pytorch==2.1.0", {"torch": "2.1.0"}),
        ("{pip: ['Scikit_Learn==1.2 # x', 'pandas>=2', 'azureml-defaults']}",
         {"scikit-learn": "1.2"}),
        ("numpy", {}),
        ("numpy>=1.26", {}),
        ("numpy=1.26|1.27", {}),
        ("numpy>=1.26,<2", {}),
        ("7", {}),
    ],
)  # fmt: skip
def test_a_pin_of_a_conda_file_is_read(tmp_path: Path, line: str, pinned: dict[str, str]) -> None:
    (tmp_path / "conda.yaml").write_text(f"name: x\ndependencies:\n- {line}\n")

    assert read(tmp_path) == pinned


@pytest.mark.parametrize("text", ["a: [", "- numpy=1", "dependencies: numpy=1", "", "\x00"])
def test_a_file_called_conda_that_is_none_says_nothing_unless_it_is_named(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "conda.yml").write_text(text)
    (tmp_path / "model.onnx").touch()
    assert read(tmp_path) == {}

    (tmp_path / "manifest.yaml").write_text("conda: conda.yml")
    with pytest.raises(ModelInvalid, match=r"conda\.yml is no"):
        manifest.read(tmp_path)


def test_requirements_say_more_than_a_conda_file(tmp_path: Path) -> None:
    (tmp_path / "env.yaml").write_text("dependencies: [numpy=1.2, joblib=1.0]")
    (tmp_path / "requirements.txt").write_text("numpy==1.2.3")

    assert read(tmp_path, tmp_path / "env.yaml") == {"numpy": "1.2.3", "joblib": "1.0.*"}


def test_versions_that_begin_so_agree() -> None:
    pairs = [
        ("1.2.*", "1.2"),
        ("1.2.*", "1.2.10"),
        ("1.2", "1.2"),
        ("1.2.*", "1.20"),
        ("1.2", "1.2.1"),
    ]
    assert [agree(*pair) for pair in pairs] == [True, True, True, False, False]


def test_what_differs_here_is_told_and_what_is_not_here_is_not() -> None:
    major = np.__version__.partition(".")[0]
    wanted = {"numpy": f"{major}.*", "python": "2.7.*", "joblib": "0.1", "not-there": "1"}
    assert installed("not-there") is None

    told = {(name, trained): here for name, trained, here in differences(wanted)}
    assert told == {
        ("joblib", "0.1"): installed("joblib"),
        ("python", "2.7.*"): platform.python_version(),
    }
