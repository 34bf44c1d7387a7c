"""`manifest create`: a model and what belongs to it -> a model folder that would be served."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from app import manifest
from app.commands.checking import checkup
from app.commands.checking.report import Report
from app.commands.staging import staged
from app.errors import ModelInvalid
from app.manifest import requirements, service
from app.registries import Refused, is_name

_FILE: Final = "manifest.yaml"
_MOST_CLASSES: Final = 1000


@dataclass(frozen=True, slots=True)
class Parts:
    """What a folder is made of."""

    model: Path
    out: Path
    script: Path | None = None
    schema: Path | None = None
    conda: Path | None = None
    name: str | None = None
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


def create(parts: Parts) -> list[str]:
    """Make the folder, and tell what is to be known of it.

    Raises:
        ValueError: a part is not there, or the folder is.
        Refused: it would not be served.
        OSError: some file cannot be read or written.
    """
    name = parts.name or parts.out.resolve().name
    _check(parts, name)
    with tempfile.TemporaryDirectory(prefix="aml-serve-") as temporary:
        folder = Path(temporary) / name
        _copy(parts, folder)
        stated = _stated(parts, folder)
        _write(folder, stated)
        report = checkup.report(str(folder))
        refused = report.refused
        if refused is not None and refused.step != "trust":  # of which the operator decides
            raise Refused(f"{parts.out} {report.verdict()}")
        classes = _classes(report)
        if classes and "classes" not in stated and parts.script is None:
            _write(folder, {**stated, "classes": classes})
        shutil.copytree(folder, parts.out, dirs_exist_ok=True)
    return _told(parts, name, report)


def _check(parts: Parts, name: str) -> None:
    if not is_name(name) or name.startswith("."):
        raise ValueError(f"--name is {name!r}; allowed: letters, digits, '.', '_' and '-'")
    given = {"--script": parts.script, "--schema": parts.schema, "--conda": parts.conda}
    if not parts.model.exists():
        raise ValueError(f"--model: there is no {parts.model}")
    for option, path in given.items():
        if path is not None and not path.is_file():
            raise ValueError(f"{option}: there is no file {path}")
    if parts.out.exists() and (not parts.out.is_dir() or any(parts.out.iterdir())):
        raise ValueError(f"--out: {parts.out} is there already, and not an empty folder")


def _copy(parts: Parts, folder: Path) -> None:
    with staged(parts.model, folder.name) as model:
        shutil.copytree(model, folder)
    names = {
        parts.script: parts.script and parts.script.name,
        parts.schema: parts.schema and _schema_name(parts.schema),
        parts.conda: parts.conda and _conda_name(parts.conda),
    }
    for path, name in names.items():
        if path is None or name is None:
            continue
        there = folder / name
        if there.exists() and there.read_bytes() != path.read_bytes():
            raise ValueError(f"{path} and a file of the model are both to be called {name}")
        shutil.copyfile(path, there)


def _schema_name(path: Path) -> str:
    """The name by which it is looked at."""
    try:
        stated = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"--schema: {path} is not JSON") from error
    is_service = isinstance(stated, dict) and isinstance(stated.get("input"), dict)
    return service.FILE if is_service else "schema.json"


def _conda_name(path: Path) -> str:
    return requirements.FILE if path.suffix == ".txt" else path.name


def _stated(parts: Parts, folder: Path) -> dict[str, Any]:
    """The content of the manifest, on top of one that the model has.

    Raises:
        Refused: no runtime serves it.
    """
    stated: dict[str, Any] = {}
    try:
        if (folder / _FILE).is_file():
            manifest.read(folder)  # for what it says of a wrong one
            stated = yaml.safe_load((folder / _FILE).read_text("utf-8")) or {}
        if parts.conda is not None and parts.conda.suffix != ".txt":
            stated["conda"] = parts.conda.name
        if parts.script is not None:
            stated.pop("file", None)
            stated |= {"runtime": "script", "entry": parts.script.name}
        elif parts.model.is_file():
            stated["file"] = parts.model.name
        _write(folder, stated)
        found = manifest.read(folder)
    except ModelInvalid as error:
        raise Refused(f"{parts.out} would not be served: {error}") from error
    stated.setdefault("runtime", found.runtime)
    if parts.description:
        stated["description"] = parts.description
    if parts.tags:
        stated["tags"] = {**stated.get("tags", {}), **parts.tags}
    return stated


def _write(folder: Path, stated: Mapping[str, Any]) -> None:
    text = yaml.safe_dump(dict(stated), sort_keys=False, allow_unicode=True)
    (folder / _FILE).write_text(text, "utf-8")


def _classes(report: Report) -> list[Any]:
    """As the model itself tells them; none where there are too many to list."""
    for finding in report.findings:
        classes = finding.facts.get("classes")
        if finding.step == "schema" and classes and len(classes) <= _MOST_CLASSES:
            return list(classes)
    return []


def _told(parts: Parts, name: str, report: Report) -> list[str]:
    warnings = [f"{each.step}: {each.text}" for each in report.findings if each.state == "warning"]
    if report.refused is not None:
        warnings.append(f"its code was not run: {report.refused.text}")
    return [*warnings, f"next: aml-serve models register {parts.out} --name {name}"]
