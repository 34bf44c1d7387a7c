"""`service_schema.json` of the 2018 SDK -> JSON Schema of one record, and its inputs' names.

It is `{"input": {NAME: {"type": 0-3, "swagger": {..., "example": ...}, "internal": ...}}}`. In
`internal` there is a pickle, which is never read: what a value is, `swagger` and its example say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.errors import ModelInvalid

FILE: Final = "service_schema.json"

STANDARD, NUMPY, SPARK, PANDAS = range(4)
"""Kinds of an input, as the SDK numbers them."""
_SCALARS: Final = ("boolean", "integer", "number", "string")
_MAX_EXAMPLES: Final = 8
_MAX_DEPTH: Final = 32


@dataclass(frozen=True, slots=True)
class ServiceSchema:
    """One such file, understood."""

    names: tuple[str, ...]
    """What requests call the inputs."""
    casts: bool
    """They are numpy arrays, to whose type each number is cast."""
    record: Mapping[str, Any] | None
    """JSON Schema of one record; None: the file tells nothing of it."""


def read(path: Path) -> ServiceSchema:
    """The file at `path`. Blocking.

    Raises:
        ModelInvalid: it is no such file, or says of no model that we serve what a record is.
    """
    try:
        stated = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ModelInvalid(f"{FILE} is not JSON: {error}") from error
    inputs = stated.get("input") if isinstance(stated, dict) else None
    if not isinstance(inputs, dict) or not inputs:
        raise ModelInvalid(f"{FILE} has no input; it must be an object with one")
    kinds = {name: _kind(name, item) for name, item in inputs.items()}
    records = {name: _record(name, inputs[name]["swagger"], kind) for name, kind in kinds.items()}
    return ServiceSchema(
        names=tuple(inputs),
        casts=set(kinds.values()) == {NUMPY},
        record=next(iter(records.values())) if len(records) == 1 else _together(records, kinds),
    )


def _kind(name: str, item: Any) -> int:
    swagger = item.get("swagger") if isinstance(item, dict) else None
    if not isinstance(swagger, dict):
        raise ModelInvalid(f'{FILE}: the input "{name}" has no swagger')
    kind = item.get("type")
    if type(kind) is not int or kind not in range(4):
        raise ModelInvalid(
            f'{FILE}: the type of "{name}" is none of 0 (standard), 1 (numpy), 2 (Spark) and '
            "3 (pandas)"
        )
    return kind


def _together(
    records: Mapping[str, Mapping[str, Any] | None], kinds: Mapping[str, int]
) -> Mapping[str, Any]:
    """Of a model that takes several arrays by name."""
    for name, kind in kinds.items():
        if kind in (SPARK, PANDAS):
            raise ModelInvalid(
                f'{FILE}: "{name}" is a table and not the only input; a schema.json that says '
                "what one record is would take its place"
            )
    properties = {
        name: {k: v for k, v in (record or {}).items() if k != "examples"}
        for name, record in records.items()
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def _record(name: str, swagger: Mapping[str, Any], kind: int) -> Mapping[str, Any] | None:
    """What one record is: of a table or an array one row, else the value itself."""
    is_several = swagger.get("type") == "array"
    if kind in (NUMPY, SPARK, PANDAS) and not is_several:
        raise ModelInvalid(f'{FILE}: the swagger of "{name}" must be an array of rows')
    example = swagger.get("example")
    rows = example if is_several else [] if example is None else [example]
    rows = rows[:_MAX_EXAMPLES] if isinstance(rows, list) else []
    one = swagger.get("items") if is_several else swagger
    is_table = isinstance(one, dict) and one.get("type") == "object"
    record = _table(one, rows) if is_table else _value(one, rows)
    if not record:
        return None
    return {**record, "examples": rows} if rows else record


def _table(swagger: Any, rows: Sequence[Any]) -> dict[str, Any]:
    """Each column must be in each row; others are left out. Empty where no column is told."""
    told = swagger.get("properties")
    if not isinstance(told, dict) or not told:
        return {}
    records = [row for row in rows if isinstance(row, dict)]
    in_order = list(records[0]) if records and records[0].keys() == told.keys() else list(told)
    properties = {
        name: _value(told[name], [row[name] for row in records if name in row]) for name in in_order
    }
    return {"type": "object", "properties": properties, "required": in_order}


def _value(swagger: Any, examples: Sequence[Any], depth: int = 0) -> dict[str, Any]:
    """The JSON Schema of a value of which `examples` are known."""
    stated = swagger if isinstance(swagger, dict) else {}
    kind = stated.get("type")
    if kind == "array":
        return _list(stated, examples, depth)
    if kind not in _SCALARS:  # pandas' texts are of numpy's type `object`, and told as such
        is_text = bool(examples) and all(isinstance(e, str | None) for e in examples)
        if not is_text or set(examples) == {None}:
            return {}
        kind = "string"
    may_be_null = kind == "number" or None in examples or stated.get("x-nullable") is True
    fragment: dict[str, Any] = {"type": [kind, "null"] if may_be_null else kind}
    if kind == "string" and stated.get("format") == "date-time":
        fragment["format"] = "date-time"
    options = stated.get("enum")
    if isinstance(options, list) and options:
        has_null = may_be_null and None not in options
        fragment["enum"] = [*options, None] if has_null else options
    return fragment


def _list(stated: Mapping[str, Any], examples: Sequence[Any], depth: int) -> dict[str, Any]:
    """All axes of an array but the first are as long as those of its example."""
    if depth > _MAX_DEPTH:
        raise ModelInvalid(f"{FILE}: lists are nested without end")
    lists = [example for example in examples if isinstance(example, list)]
    inner = [value for each in lists for value in each]
    lengths = {len(each) for each in lists}
    fragment: dict[str, Any] = {
        "type": "array",
        "items": _value(stated.get("items"), inner, depth + 1),
    }
    if len(lengths) == 1 and len(lists) == len(examples):
        (size,) = lengths
        fragment |= {"minItems": size, "maxItems": size}
    return fragment
