"""Which files of a model are looked at while they are edited, and what counts as an edit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.catalog.edits import files


def put(folder: Path, name: str, text: str = "x") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "name",
    ["score.py", "deep/in/it.py", "schema.json", "manifest.yaml", "conda.yml", "model.onnx",
     "model.joblib", "weights.npz", "MLmodel", "env/lib.py"],
)  # fmt: skip
def test_what_makes_a_model_is_watched(tmp_path: Path, name: str) -> None:
    assert list(files([tmp_path])) == []
    path = put(tmp_path, name)

    assert list(files([tmp_path])) == [path]


@pytest.mark.parametrize(
    "name",
    ["run.log", "run.jsonl", "out.csv", "vocab.txt", ".hidden.py", ".git/a.py", "score.pyc",
     "__pycache__/score.py", "deep/__pycache__/a.json", "node_modules/a.json", "score.py.swp",
     ".ipynb_checkpoints/score.py", "venv/pyvenv.cfg", "venv/lib/a.py"],
)  # fmt: skip
def test_what_comes_by_itself_is_not(tmp_path: Path, name: str) -> None:
    put(tmp_path, "venv/pyvenv.cfg")
    put(tmp_path, name)

    assert list(files([tmp_path])) == []


def test_the_model_s_own_file_is_watched_whatever_its_name(tmp_path: Path) -> None:
    own, gone = put(tmp_path, "booster.txt"), tmp_path / "gone.txt"

    assert list(files([tmp_path], [own, gone])) == [own]


def test_a_file_that_is_written_replaced_or_taken_away_is_another(tmp_path: Path) -> None:
    path = put(tmp_path, "score.py", "told = 1")
    before = files([tmp_path])
    assert files([tmp_path, tmp_path]) == before

    os.replace(put(tmp_path / "beside", "score.py", "told = 22"), path)
    replaced = files([tmp_path])
    assert replaced != before
    path.unlink()
    assert files([tmp_path]) not in (before, replaced)
