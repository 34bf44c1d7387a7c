"""What lies in a model folder: which runtime reads which file, and what the operator may add to it.

Everything in `manifest.yaml` can be derived, so a folder with a bare `model.onnx` is a whole model.
Models are not read here; `runtimes` does that.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from app import mlmodel
from app.errors import ModelInvalid
from app.mlmodel import MLmodel

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

_KEYS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "batching": dict,
    "classes": list,
    "conda": str,
    "description": str,
    "entry": str,
    "file": str,
    "outputs": str,
    "runtime": str,
    "tags": dict,
    "threads": int,
    "timeout_s": (int, float),
}

_PINNED: Final = re.compile(
    r"^\s*([\w.-]+)\s*(?:\[.*?\])?\s*===?\s*([^\s;#,*]+)\s*(?:[;#].*)?$", re.MULTILINE
)
"""A line of requirements.txt (PEP 440, PEP 508) that allows one version only."""

_WORDS: Final[Mapping[Any, str]] = {dict: "a mapping", list: "a list", str: "a text"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """One model folder, understood."""

    folder: Path
    file: Path
    runtime: str
    schema: Mapping[str, Any] | None = None
    """JSON Schema of one record, from `schema.json`."""
    golden: Path | None = None
    classes: tuple[Any, ...] = ()
    result: str | None = None
    """The output that `results` holds."""
    max_rows: int | None = None
    threads: int | None = None
    timeout_s: float | None = None
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    requirements: Mapping[str, str] = field(default_factory=dict)
    """Package (lower case, dashes) -> its exact version at training, from `requirements.txt`."""
    mlmodel: MLmodel | None = None
    """What `MLmodel` says of a model in MLflow's format."""


def read(folder: Path) -> Manifest:
    """What is in `folder`. Blocking.

    Raises:
        ModelInvalid: nothing, or more than one thing, that could be the model; files that lead out
            of the folder; a manifest or schema that cannot be read. It names the thing.
    """
    _refuse_outside(folder)
    stated = _stated(folder)
    file = _model_file(folder, stated)
    mlflow = _mlmodel(file)
    saved_in = file.parent
    if mlflow is not None:
        file = saved_in / mlflow.file
        if not _is_inside(folder.resolve(), file) or not file.is_file():
            raise ModelInvalid(f"MLmodel names {mlflow.file!r}, which is not in the model folder")
    schema = _schema(folder)
    golden = folder / "golden.json"
    return Manifest(
        folder=folder,
        file=file,
        runtime=stated.get("runtime") or (_runtime_of(file) if mlflow is None else mlflow.runtime),
        schema=mlflow.schema if schema is None and mlflow is not None else schema,
        golden=golden if golden.is_file() else None,
        classes=tuple(stated.get("classes", ())),
        result=stated.get("outputs") or (None if mlflow is None else mlflow.result),
        max_rows=_max_rows(stated),
        threads=_at_least_one(stated, "threads"),
        timeout_s=_timeout_s(stated),
        description=stated.get("description", ""),
        tags={str(k): str(v) for k, v in stated.get("tags", {}).items()},
        requirements={
            **_requirements(folder if mlflow is None else saved_in),
            **({} if mlflow is None else mlflow.requirements),
        },
        mlmodel=mlflow,
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


def _refuse_outside(folder: Path) -> None:
    root = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not _is_inside(root, path):
            raise ModelInvalid(f"{path.relative_to(folder)} is a link that leaves the model folder")


def _is_inside(root: Path, path: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # links that lead round in a circle
        return False


def _stated(folder: Path) -> dict[str, Any]:
    """The content of manifest.yaml, its types checked; empty without one."""
    path = folder / "manifest.yaml"
    if not path.is_file():
        return {}
    try:
        stated = yaml.safe_load(path.read_text("utf-8")) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a 30th of February: ValueError
        where = getattr(error, "problem_mark", None)
        line = f" (line {where.line + 1})" if where else ""
        raise ModelInvalid(f"manifest.yaml is not YAML{line}") from error
    if not isinstance(stated, dict):
        raise ModelInvalid("manifest.yaml must be a mapping")
    for key, value in stated.items():
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(_KEYS)}"
            raise ModelInvalid(f"manifest.yaml: unknown key {key!r}; {hint}")
        if not isinstance(value, _KEYS[key]) or isinstance(value, bool):
            raise ModelInvalid(f"manifest.yaml: {key} must be {_WORDS.get(_KEYS[key], 'a number')}")
    return stated


def _at_least_one(stated: Mapping[str, Any], key: str) -> int | None:
    value = stated.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ModelInvalid(f"manifest.yaml: {key} must be a whole number of 1 or more")
    return value


def _max_rows(stated: Mapping[str, Any]) -> int | None:
    batching = stated.get("batching", {})
    unknown = batching.keys() - {"max_rows"}
    if unknown:
        first = min(map(str, unknown))
        raise ModelInvalid(f"manifest.yaml: unknown key batching.{first}; known: max_rows")
    return _at_least_one(batching, "max_rows")


def _timeout_s(stated: Mapping[str, Any]) -> float | None:
    value = stated.get("timeout_s")
    if value is not None and not 0 < value < math.inf:
        raise ModelInvalid("manifest.yaml: timeout_s must be a number of seconds above 0")
    return value


def _model_file(folder: Path, stated: Mapping[str, Any]) -> Path:
    named = stated.get("file") or stated.get("entry")
    if named is not None:
        path = folder / str(named)
        if not _is_inside(folder.resolve(), path) or not path.is_file():
            raise ModelInvalid(f"manifest.yaml names {named!r}, which is not in the model folder")
        return path
    if (folder / mlmodel.FILE).is_file():
        return folder / mlmodel.FILE
    if (folder / "score.py").is_file():
        raise ModelInvalid(
            "score.py: scoring scripts are not served by this version; to serve a model file "
            "without the script, name it in manifest.yaml (file: ...)"
        )
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


def _mlmodel(file: Path) -> MLmodel | None:
    return mlmodel.read(file) if file.name == mlmodel.FILE else None


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


def _runtime_of(file: Path) -> str:
    runtime = "boosters" if _is_booster(file) else RUNTIME_OF.get(file.suffix)
    if runtime is None:
        raise ModelInvalid(f"no runtime reads {file.name}; known: {_KINDS}")
    return runtime


def _schema(folder: Path) -> Mapping[str, Any] | None:
    path = folder / "schema.json"
    if not path.is_file():
        return None
    try:
        schema = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ModelInvalid(f"schema.json is not JSON: {error}") from error
    if not isinstance(schema, dict):
        raise ModelInvalid("schema.json must be an object: the JSON Schema of one record")
    return schema


def _requirements(folder: Path) -> Mapping[str, str]:
    path = folder / "requirements.txt"
    if not path.is_file():
        return {}
    text = path.read_text("utf-8", errors="replace")
    return {re.sub(r"[-_.]+", "-", n).lower(): version for n, version in _PINNED.findall(text)}
