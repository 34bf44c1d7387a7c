"""`models list` and `models show`: what a registry tells of its models, and what their files do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from app import manifest
from app.commands.tables import pairs, write_json, write_table
from app.errors import ModelInvalid, ModelNotFound
from app.main import open_store, sources
from app.manifest import Manifest
from app.registries import Details, Registry
from app.registries.local import LocalRegistry
from app.settings import Settings
from app.settings.values import ModelChoice
from app.telemetry import logs
from app.tensors import ModelRef

_AT_ONCE: Final = 8
"""Models that a registry is asked for at the same time."""


@dataclass(frozen=True, slots=True)
class Row:
    """One version."""

    name: str
    version: str
    description: str = ""
    created_at: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


def list_models(settings: Settings, name: str | None, *, as_json: bool) -> None:
    """Raises: ModelNotFound, RegistryUnavailable."""
    with _default(settings) as registry, ThreadPoolExecutor(_AT_ONCE) as threads:
        if name is None:
            found = threads.map(lambda each: _row(registry, each, None), registry.names())
        else:
            registry.resolve(name, None)
            found = threads.map(lambda v: _row(registry, name, v), registry.versions(name))
        rows = [row for row in found if row is not None]
    if as_json:
        write_json([asdict(row) for row in rows])
        return
    columns = ("NAME", "LATEST" if name is None else "VERSION", "DESCRIPTION", "CREATED", "TAGS")
    write_table(
        columns,
        [(r.name, r.version, r.description, r.created_at[:19], pairs(r.tags)) for r in rows],
    )


def show_model(settings: Settings, model: str, *, as_json: bool) -> None:
    """Raises: ValueError, ModelNotFound, RegistryUnavailable."""
    chosen = ModelChoice.parse(model)
    with _default(settings) as registry:
        ref = registry.resolve(chosen.name, chosen.version)
        told = _told(ref, registry.details(ref), registry.versions(ref.name))
        folder = _folder(settings, ref, registry)
    if folder is None:
        told["files"] = f"not on this disk; aml-serve models pull {ref.name}:{ref.version}"
    else:
        told |= _of_files(folder)
    if as_json:
        write_json(told)
    else:
        write_table(("", ""), list(_lines(told)))


@contextmanager
def _default(settings: Settings) -> Iterator[Registry]:
    logs.configure("error", "text")
    access = sources.access(settings)
    try:
        yield sources.registries(settings, access)["default"]
    finally:
        access.close()


def _row(registry: Registry, name: str, version: str | None) -> Row | None:
    try:
        ref = registry.resolve(name, version)
        details = registry.details(ref)
    except ModelNotFound:  # all its versions are archived, or it is gone meanwhile
        return None
    return Row(ref.name, ref.version, details.description, details.created_at, details.tags)


def _folder(settings: Settings, ref: ModelRef, registry: Registry) -> Path | None:
    """Where the files of `ref` are on this disk."""
    if isinstance(registry, LocalRegistry):
        return registry.fetch(ref, registry.folder)
    return open_store(settings).find(ref, registry)


def _told(ref: ModelRef, details: Details, versions: list[str]) -> dict[str, Any]:
    told = {
        "name": ref.name,
        "version": ref.version,
        "versions": versions,
        "description": details.description,
        "created_at": details.created_at,
        "stage": details.stage,
        "tags": dict(details.tags),
        "properties": dict(details.properties),
    }
    return {key: value for key, value in told.items() if value}


def _of_files(folder: Path) -> dict[str, Any]:
    """What can be said without loading the model."""
    told: dict[str, Any] = {"folder": str(folder), "digest": manifest.digest(folder)}
    try:
        stated = manifest.read(folder)
    except ModelInvalid as error:
        return {**told, "problem": error.message}
    told |= {
        "runtime": stated.runtime,
        "file": stated.file.relative_to(folder).as_posix(),
        "inputs": _inputs(stated),
        "outputs": _outputs(stated),
        "classes": [str(each) for each in stated.classes],
        "golden": "golden.json" if stated.golden else "",
        "requirements": dict(stated.requirements),
    }
    return {key: value for key, value in told.items() if value}


def _inputs(stated: Manifest) -> dict[str, str] | str:
    """Columns and their types as declared; derived ones are known when the model is loaded."""
    if stated.schema is None:
        return "derived from the model when it is loaded"
    columns = stated.schema.get("properties")
    if not isinstance(columns, Mapping):
        return _type(stated.schema)
    return {str(name): _type(rules) for name, rules in columns.items()}


def _type(rules: Any) -> str:
    given = rules.get("type") if isinstance(rules, Mapping) else None
    if given == "array":
        return f"array of {_type(rules.get('items'))}"
    kinds = given if isinstance(given, list) else [given or "any"]
    return " or ".join(map(str, kinds))


def _outputs(stated: Manifest) -> dict[str, str] | str:
    fields = () if stated.mlmodel is None else stated.mlmodel.outputs
    named = {each.name or f"output_{i}": str(each.type) for i, each in enumerate(fields)}
    return named or stated.result or ""


def _lines(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A mapping of several takes a line for each."""
    for key, value in told.items():
        if isinstance(value, Mapping):
            for i, (name, each) in enumerate(value.items()):
                yield "" if i else key, f"{name}: {each}"
        else:
            yield key, ", ".join(value) if isinstance(value, list) else str(value)
