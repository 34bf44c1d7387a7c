"""What lies in a model folder: which runtime reads which file, and what the operator may add to it.

Everything in `manifest.yaml` can be derived, so a folder with a bare `model.onnx` is a whole model.
Models are not read here; `runtimes` does that.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from app import mlmodel
from app.errors import ModelInvalid
from app.manifest import requirements, service
from app.manifest.files import (
    RUNTIME_OF,
    digest,
    file_sha256,
    holds_model,
    is_inside,
    is_model_file,
    model_file,
    runtime_of,
)
from app.manifest.service import ServiceSchema
from app.mlmodel import MLmodel
from app.quantities import BYTES, parse_bytes

__all__ = [
    "RUNTIME_OF",
    "Manifest",
    "Script",
    "digest",
    "file_sha256",
    "holds_model",
    "is_model_file",
    "read",
]

_KEYS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "batching": dict,
    "classes": list,
    "conda": str,
    "description": str,
    "entry": str,
    "file": str,
    "memory_bytes": (int, str),
    "outputs": str,
    "runtime": str,
    "tags": dict,
    "threads": int,
    "timeout_s": (int, float),
}

_WORDS: Final[Mapping[Any, str]] = {
    **{dict: "a mapping", list: "a list", str: "a text"},
    (int, str): BYTES,
}


@dataclass(frozen=True, slots=True)
class Script:
    """How the process of a scoring script begins."""

    file: Path
    environ: Mapping[str, str]
    imports: tuple[Path, ...]
    """Folders of modules, beside those that are installed."""
    folder: Path
    """Where it is started."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One model folder, understood."""

    folder: Path
    file: Path
    runtime: str
    schema: Mapping[str, Any] | None = None
    """JSON Schema of one record: of `schema.json`, else `service_schema.json`, else `MLmodel`."""
    service: ServiceSchema | None = None
    """What `service_schema.json` says of a model that is no script."""
    golden: Path | None = None
    classes: tuple[Any, ...] = ()
    result: str | None = None
    """The output that `results` holds."""
    max_rows: int | None = None
    threads: int | None = None
    timeout_s: float | None = None
    memory_bytes: int | None = None
    """What it counts as in memory; None: what it is measured to take."""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    requirements: Mapping[str, str] = field(default_factory=dict)
    """Package (lower case, dashes) -> its version at training; `1.2.*` where the rest is open."""
    script: Script | None = None
    """As the operator started it; None: as its folder has it."""
    environment: tuple[str, ...] = ()
    """Of the operator: variables that a script sees although they look like secrets."""
    collector: str = ""
    """Where a script sends the tables that it has collected, and as which model; empty: nowhere."""
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
    file = model_file(folder, stated)
    mlflow = _mlmodel(file)
    runtime, result = stated.get("runtime"), stated.get("outputs")
    if mlflow is not None:
        runtime = runtime or mlflow.runtime
        result = result or (mlflow.result if runtime == mlflow.runtime else None)
        file = file if runtime == "pyfunc" else _saved(folder, mlflow)
    runtime = runtime or runtime_of(file)
    told = folder / service.FILE
    older = service.read(told) if runtime != "script" and told.is_file() else None
    golden = folder / "golden.json"
    return Manifest(
        folder=folder,
        file=file,
        runtime=runtime,
        schema=_declared(folder, older, mlflow),
        service=older,
        golden=golden if golden.is_file() else None,
        classes=tuple(stated.get("classes", ())),
        result=result,
        max_rows=_max_rows(stated),
        threads=_at_least_one(stated, "threads"),
        timeout_s=_timeout_s(stated),
        memory_bytes=_memory_bytes(stated),
        description=stated.get("description", ""),
        tags={str(k): str(v) for k, v in stated.get("tags", {}).items()},
        requirements=_requirements(folder, stated, mlflow),
        mlmodel=mlflow,
    )


def _refuse_outside(folder: Path) -> None:
    root = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not is_inside(root, path):
            raise ModelInvalid(f"{path.relative_to(folder)} is a link that leaves the model folder")


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


def _memory_bytes(stated: Mapping[str, Any]) -> int | None:
    value = stated.get("memory_bytes")
    if isinstance(value, str):
        with suppress(ValueError):
            value = parse_bytes(value)
    if value is not None and (not isinstance(value, int) or value < 1):
        raise ModelInvalid(f"manifest.yaml: memory_bytes must be {BYTES}")
    return value


def _mlmodel(file: Path) -> MLmodel | None:
    return mlmodel.read(file) if file.name == mlmodel.FILE else None


def _saved(folder: Path, mlflow: MLmodel) -> Path:
    """The model file that `MLmodel` names."""
    file = mlflow.folder / mlflow.file
    if not is_inside(folder.resolve(), file) or not file.is_file():
        raise ModelInvalid(f"MLmodel names {mlflow.file!r}, which is not in the model folder")
    if mlflow.code is not None and not is_inside(folder.resolve(), mlflow.code):
        raise ModelInvalid("MLmodel names a folder of code that is not in the model folder")
    return file


def _requirements(
    folder: Path, stated: Mapping[str, Any], mlflow: MLmodel | None
) -> Mapping[str, str]:
    named = stated.get("conda")
    conda = None if named is None else folder / str(named)
    if conda is not None and not (is_inside(folder.resolve(), conda) and conda.is_file()):
        raise ModelInvalid(f"manifest.yaml names {named!r}, which is not in the model folder")
    if mlflow is None:
        return requirements.read(folder, conda)
    return {**requirements.read(mlflow.folder, conda), **mlflow.requirements}


def _declared(
    folder: Path, older: ServiceSchema | None, mlflow: MLmodel | None
) -> Mapping[str, Any] | None:
    """The first of three that says what a record is."""
    schema = _schema(folder)
    if schema is None and older is not None:
        schema = older.record
    return mlflow.schema if schema is None and mlflow is not None else schema


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
