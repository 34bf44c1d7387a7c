"""Which file of a model folder is the model, and what all files together are: their digest."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from app import mlmodel
from app.errors import ModelInvalid

RUNTIME_OF: Final = {
    ".cbm": "boosters",
    ".joblib": "sklearn",
    ".onnx": "onnx",
    ".pickle": "sklearn",
    ".pkl": "sklearn",
    ".skops": "sklearn",
    ".ubj": "boosters",
}
"""Suffix of a model file -> the runtime that reads it."""

SCRIPT: Final = "score.py"
"""Is a model together with all that lies beside it."""

_BY_CONTENT: Final = {
    ".json": re.compile(rb'\s*\{\s*"learner"\s*:'),  # XGBoost
    ".txt": re.compile(rb"tree\r?\nversion="),  # LightGBM
}
"""Suffix that much else has, too -> how the file of a booster begins."""

_KINDS: Final = ", ".join(f"*{suffix}" for suffix in sorted([*RUNTIME_OF, *_BY_CONTENT]))

_NEVER_MODELS: Final = frozenset(
    {"golden.json", "input_example.json", "requirements.txt", "schema.json"}
    | {"service_schema.json", "serving_input_example.json", "swagger.json", "swagger2.json"}
    | {"swagger3.json", "swagger3.1.json"}
)


def holds_model(folder: Path) -> bool:
    """Something in `folder` itself is, or names, a model file."""
    names = {path.name for path in folder.iterdir() if path.is_file()}
    return bool(_candidates(folder) or names & {"manifest.yaml", "score.py", mlmodel.FILE})


def is_model_file(name: str) -> bool:
    """A file called `name`, at the root of a model's folder, is or names the model."""
    is_named = name in ("manifest.yaml", "score.py", mlmodel.FILE)
    return is_named or (Path(name).suffix in RUNTIME_OF and not name.startswith("."))


def file_sha256(path: Path) -> str:
    """In hexadecimal digits. Blocking."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(folder: Path) -> str:
    """Sha256 over the sorted lines `sha256(file)  path` of all files. Blocking."""
    lines = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        sha = file_sha256(path)
        lines.append(os.fsencode(f"{sha}  {path.relative_to(folder).as_posix()}"))
    return hashlib.sha256(b"\n".join(sorted(lines))).hexdigest()


def model_file(folder: Path, stated: Mapping[str, Any]) -> Path:
    """What the manifest, of which `stated` is the content, names; else what is found by the rules.

    Raises:
        ModelInvalid: there is nothing, or more than one thing, that could be the model.
    """
    named = stated.get("file") or stated.get("entry")
    if named is not None:
        path = folder / str(named)
        if not is_inside(folder.resolve(), path) or not path.is_file():
            raise ModelInvalid(f"manifest.yaml names {named!r}, which is not in the model folder")
        return path
    if (folder / mlmodel.FILE).is_file():
        return folder / mlmodel.FILE
    if (folder / SCRIPT).is_file():
        return folder / SCRIPT
    found = _candidates(folder)
    if len(found) > 1:
        raise ModelInvalid(
            f"{len(found)} files could be the model: {', '.join(found)}; "
            "name one in manifest.yaml (file: ...)"
        )
    if not found:
        return _nested(folder)
    return folder / found[0]


def _nested(folder: Path) -> Path:
    """The `MLmodel` of a run's artifacts, which hold the model as one folder among others."""
    nested = list(folder.glob(f"*/{mlmodel.FILE}"))
    if len(nested) == 1 and nested[0].is_file():
        return nested[0]
    empty = "the model folder is empty" if not any(folder.iterdir()) else "no model file found"
    raise ModelInvalid(f"{empty}; looked for MLmodel, {_KINDS} and manifest.yaml")


def _candidates(folder: Path) -> list[str]:
    """What could be the model, by its name or beginning; hidden files never are."""
    files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    return sorted(p.name for p in files if p.suffix in RUNTIME_OF or _is_booster(p))


def _is_booster(file: Path) -> bool:
    """A text of LightGBM or a JSON of XGBoost, told by how it begins."""
    begins = _BY_CONTENT.get(file.suffix)
    if begins is None or file.name in _NEVER_MODELS:
        return False
    with file.open("rb") as opened:
        return begins.match(opened.read(100)) is not None


def runtime_of(file: Path) -> str:
    """The runtime that reads `file`.

    Raises:
        ModelInvalid: there is none.
    """
    if file.suffix == ".py":
        return "script"
    runtime = "boosters" if _is_booster(file) else RUNTIME_OF.get(file.suffix)
    if runtime is None:
        raise ModelInvalid(f"no runtime reads {file.name}; known: {_KINDS}")
    return runtime


def is_inside(root: Path, path: Path) -> bool:
    """`path` leads, also as a link, to something in `root`, which is resolved."""
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # links that lead round in a circle
        return False
