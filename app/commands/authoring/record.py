"""What one record is, as the rows of a table show it: `schema.json`, or the form of 2018."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from app.commands.authoring.table import Column, read
from app.manifest import service

_INPUT: Final = "input_df"
"""What requests of the 2018 SDK call a table."""
_VERSION: Final = "1.0"
_EXAMPLES: Final = 5
_MOST_OPTIONS: Final = 20
_LEAST_SEEN: Final = 10
"""A column of texts is a choice among few when each comes so often, on the average."""
_FORMATS: Final = {"integer": "int64", "number": "double", "date-time": "date-time"}
"""Kind of a column -> what Swagger 2.0 calls its values."""


def write(path: Path, out: Path, target: str | None, *, is_service: bool, force: bool) -> Path:
    """The file that is written: `out`, or in the folder `out`.

    Raises:
        ValueError: the table cannot be read, has no such column, or there is such a file.
        OSError: one of the files cannot be read or written.
    """
    file = out / (service.FILE if is_service else "schema.json") if out.is_dir() else out
    if file.exists() and not force:
        raise ValueError(f"{file} is there already; --force writes over it")
    columns = _without(read(path), target)
    told = service_form(columns) if is_service else json_schema(columns)
    file.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return file


def json_schema(columns: Sequence[Column]) -> dict[str, Any]:
    """JSON Schema (2020-12) of one record."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {column.name: _fragment(column) for column in columns},
        "required": [column.name for column in columns],
        "examples": _examples(columns),
    }


def service_form(columns: Sequence[Column]) -> dict[str, Any]:
    """What the 2018 SDK wrote of a pandas table, without its pickle."""
    rows = {"type": "object", "properties": {c.name: _swagger(c) for c in columns}}
    table = {"type": "array", "items": rows, "example": _examples(columns)}
    item = {"type": service.PANDAS, "swagger": table, "internal": "", "version": _VERSION}
    return {"input": {_INPUT: item}, "output": {}}


def _without(columns: list[Column], target: str | None) -> list[Column]:
    names = [column.name for column in columns]
    if target is not None and target not in names:
        near = difflib.get_close_matches(target, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(names[:20])}"
        raise ValueError(f"--target is {target!r}, which is no column of the table; {hint}")
    rest = [column for column in columns if column.name != target]
    if not rest:
        raise ValueError("the table has no column but the target")
    return rest


def _examples(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """The first rows."""
    count = min(_EXAMPLES, len(columns[0].values))
    return [{column.name: column.values[row] for column in columns} for row in range(count)]


def _fragment(column: Column) -> dict[str, Any]:
    if column.kind == "any":
        return {}
    kind = "string" if column.kind == "date-time" else column.kind
    has_null = None in column.values
    fragment: dict[str, Any] = {"type": [kind, "null"] if has_null else kind}
    if column.kind == "date-time":
        fragment["format"] = "date-time"
    options = _options(column)
    if options:
        fragment["enum"] = [*options, None] if has_null else options
    return fragment


def _swagger(column: Column) -> Mapping[str, Any]:
    """Swagger 2.0 knows no null; a text of any kind is an `object`, as pandas has it."""
    if column.kind == "any":
        return {"type": "object"}
    told: dict[str, Any] = {"type": "string" if column.kind == "date-time" else column.kind}
    if column.kind in _FORMATS:
        told["format"] = _FORMATS[column.kind]
    if None in column.values:
        told["x-nullable"] = True
    options = _options(column)
    return {**told, "enum": options} if options else told


def _options(column: Column) -> list[str]:
    """The texts that a column chooses from; empty: it is no such column."""
    if column.kind != "string":
        return []
    seen = [value for value in column.values if value is not None]
    options = sorted(set(seen))
    is_choice = len(options) <= _MOST_OPTIONS and len(seen) >= len(options) * _LEAST_SEEN
    return options if is_choice else []
