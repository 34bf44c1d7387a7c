"""The forms of `data`: records, columns, rows, tensors, pandas' two -> a list of values per input.

Only the outer form is looked at here, whatever the values are; `values` looks into them. A value
that is absent is `MISSING`, one whose row cannot be read is `SKIPPED` (its fault is told already).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final

import orjson

from app.errors import MAX_FAULTS, BadRequest, Fault, SchemaMismatch
from app.schema.layout import Layout

MISSING: Final = object()
SKIPPED: Final = object()
_SPLIT_KEYS: Final = frozenset({"columns", "index", "data"})
_NOT_JSON: Final = re.compile("-?(NaN|Infinity)")
_MAX_NAME: Final = 100
"""Characters of a client's own column name that are told back."""
_MAX_NEAR: Final = 200
"""Names that are compared for likeness, so that a payload of many cannot keep us busy."""


@dataclass(slots=True)
class Columns:
    """Input -> its values, one per record (the whole tensor when there is no batch axis)."""

    values: dict[str, Sequence[Any]]
    rows: int
    single: bool
    extra: tuple[str, ...] = ()
    faults: list[Fault] = field(default_factory=list)


def read(data: Any, layout: Layout) -> Columns:
    """Raises: SchemaMismatch when no form fits; BadRequest for JSON text that is not JSON."""
    if isinstance(data, str) and not layout.takes_text and data.lstrip()[:1] in ("[", "{"):
        try:
            data = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            hint = (
                "; NaN and Infinity are not: send null" if _NOT_JSON.match(data, error.pos) else ""
            )
            raise BadRequest(
                "data is a text that starts like JSON and is not JSON: "
                f"{error.msg} (line {error.lineno}, column {error.colno}){hint}"
            ) from None
    if isinstance(data, dict):
        return _object(data, layout)
    if isinstance(data, list) and dict in set(map(type, data)):
        return _records(data, layout)
    return _nested(data, layout)


def kind(value: Any) -> str:
    """The kind of a JSON value, as faults tell it."""
    if value is None:
        return "null"
    if value is MISSING:
        return "nothing"
    names = {bool: "a boolean", int: "an integer", float: "a number", str: "a string"}
    return names.get(type(value)) or ("a list" if isinstance(value, (list, tuple)) else "an object")


def depth_of(value: Any) -> int:
    """Nesting of lists, by their first elements."""
    depth = 0
    while isinstance(value, list):
        depth += 1
        value = value[0] if value else None
    return depth


def near(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` most like `name`, if any is."""
    if len(name) > _MAX_NAME:
        return None
    short = (other for other in names if len(other) <= _MAX_NAME)
    folded = {other.casefold(): other for other in islice(short, _MAX_NEAR)}
    found = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.7)
    return folded[found[0]] if found else None


def _object(data: dict[str, Any], layout: Layout) -> Columns:
    if layout.batched:
        keys = data.keys()
        own_columns = {"columns", "data"} <= layout.depths.keys()
        if {"columns", "data"} <= keys <= _SPLIT_KEYS and not own_columns:
            return _split(data["columns"], data["data"], layout)
        if data and all(isinstance(value, dict) for value in data.values()):
            rows = next(iter(data.values())).keys()
            if all(value.keys() == rows for value in data.values()):
                columns = {k: [v[r] for r in rows] for k, v in data.items()}
                return _columns(columns, len(rows), layout)
        if _are_columns(data, layout):
            return _columns(data, None, layout)
    return _gather([data], layout, single=True)


def _are_columns(data: dict[str, Any], layout: Layout) -> bool:
    if not all(isinstance(value, list) for value in data.values()):
        return False
    known = [(name, value) for name, value in data.items() if name in layout.depths]
    return bool(known) and all(
        not value or depth_of(value) == layout.depths[name] + 1 or _are_ones(value, name, layout)
        for name, value in known
    )


def _are_ones(value: list[Any], name: str, layout: Layout) -> bool:
    """Rows of one value each, for an input of one value."""
    return layout.depths[name] == 0 and all(_is_one(row) for row in value)


def _columns(data: Mapping[str, list[Any]], rows: int | None, layout: Layout) -> Columns:
    """Of columns of lists; None: as many `rows` as the first column that is known."""
    known = {name: data[name] for name in layout.names if name in data}
    if rows is None:
        rows = len(next(iter(known.values())))
    faults = [
        Fault(None, name, f"{rows} values as in the first column", str(len(values)))
        for name, values in known.items()
        if len(values) != rows
    ]
    if faults:
        raise SchemaMismatch.of(faults)
    values: dict[str, Sequence[Any]] = {}
    for name in layout.names:
        column = known.get(name)
        if column is None:
            column = [MISSING] * rows
        elif column and isinstance(column[0], list) and _are_ones(column, name, layout):
            column = [row[0] for row in column]
        values[name] = column
    return _with_extra(Columns(values, rows, single=False), data, layout)


def _split(names: Any, rows: Any, layout: Layout) -> Columns:
    if not isinstance(names, list) or not isinstance(rows, list):
        raise SchemaMismatch("columns and data of pandas' split form must both be lists")
    if not all(isinstance(name, str) for name in names):
        raise SchemaMismatch("columns of pandas' split form must be names")
    if len(set(names)) != len(names):
        raise SchemaMismatch("columns of pandas' split form must differ from each other")
    bad, faults = _length_faults(rows, len(names))
    columns: dict[str, list[Any]] = {
        name: [SKIPPED if r in bad else row[i] for r, row in enumerate(rows)]
        for i, name in enumerate(names)
    }
    read = _columns(columns, len(rows), layout)
    read.faults.extend(faults)
    return read


def _records(data: list[Any], layout: Layout) -> Columns:
    """Records by name; one that is no object is told, and the others are looked at all the same."""
    bad = [row for row, record in enumerate(data) if not isinstance(record, dict)]
    if not bad:
        return _gather(data, layout, single=False)
    skipped = dict.fromkeys(layout.names, SKIPPED)
    read = _gather([r if isinstance(r, dict) else skipped for r in data], layout, single=False)
    wanted = "an object, as the other records are"
    read.faults.extend(Fault(row, None, wanted, kind(data[row])) for row in bad[:MAX_FAULTS])
    return read


def _gather(records: list[dict[str, Any]], layout: Layout, *, single: bool) -> Columns:
    """Records by name; what a record lacks is MISSING."""
    values: dict[str, Sequence[Any]] = {}
    is_complete = True
    for name in layout.names:
        try:
            values[name] = [record[name] for record in records]
        except KeyError:
            values[name] = [record.get(name, MISSING) for record in records]
            is_complete = False
    read = Columns(values, len(records), single)
    width = len(layout.names)
    if is_complete and all(len(record) == width for record in records):
        return read
    return _with_extra(read, dict.fromkeys(chain.from_iterable(records)), layout)


def _with_extra(read: Columns, names: Iterable[str], layout: Layout) -> Columns:
    read.extra = tuple(name for name in names if name not in layout.depths)
    if read.extra and layout.refuses_extra:
        read.faults.extend(
            Fault(None, name[:_MAX_NAME], "no such column", "one", near(name, layout.names))
            for name in read.extra[:MAX_FAULTS]
        )
    return read


def _nested(data: Any, layout: Layout) -> Columns:
    if layout.batched and data == []:
        return Columns({name: [] for name in layout.names}, 0, single=False)
    if layout.record_depth is None:
        raise SchemaMismatch(
            f"data must be an object with {_listed(layout.names)}, or a list of such"
        )
    depth = depth_of(data)
    if layout.columns:
        return _rows(data, depth, layout)
    name = layout.names[0]
    if not layout.batched:
        return Columns({name: [data]}, 1, single=True)
    if depth == 1 and layout.record_depth == 1 and list in set(map(type, data)):
        depth = 2  # a batch whose first row is no list
    if depth == layout.record_depth:
        return Columns({name: [data]}, 1, single=True)
    if depth == 2 and _are_ones(data, name, layout):
        return Columns({name: [row[0] for row in data]}, len(data), single=False)
    if depth == layout.record_depth + 1:
        return Columns({name: data}, len(data), single=False)
    raise SchemaMismatch(_hint(data, depth, layout))


def _is_one(row: Any) -> bool:
    return isinstance(row, list) and len(row) == 1


def _rows(data: Any, depth: int, layout: Layout) -> Columns:
    """Rows by position: one (depth 1) or a list of them (depth 2)."""
    if depth == 1 and list not in set(map(type, data)):
        data, single = [data], True
    elif isinstance(data, list):
        single = False
    else:
        raise SchemaMismatch(_hint(data, depth, layout))
    bad, faults = _length_faults(data, layout.columns, single=single)
    if bad:
        blank = [SKIPPED] * layout.columns
        data = [blank if r in bad else row for r, row in enumerate(data)]
    values: dict[str, Sequence[Any]] = dict(zip(layout.names, zip(*data, strict=True), strict=True))
    return Columns(values, len(data), single, faults=faults)


def _length_faults(
    rows: list[Any], length: int, *, single: bool = False
) -> tuple[frozenset[int], list[Fault]]:
    """Every row that is not a list of `length`, and the faults of the first ones."""
    if all(type(row) is list and len(row) == length for row in rows):
        return frozenset(), []
    bad = [r for r, row in enumerate(rows) if not isinstance(row, list) or len(row) != length]
    faults = []
    for r in bad[:MAX_FAULTS]:
        got = str(len(rows[r])) if isinstance(rows[r], list) else kind(rows[r])
        faults.append(Fault(None if single else r, None, f"{length} values", got))
    return frozenset(bad), faults


def _hint(data: Any, depth: int, layout: Layout) -> str:
    got = f"lists nested {depth} deep" if depth else kind(data)
    if layout.columns:
        return (
            f"data must be a row of {layout.columns} values, a list of rows, "
            f"an object with {_listed(layout.names)}, or a list of such; got {got}"
        )
    record = layout.record_depth or 0
    one = "one value" if record == 0 else f"lists nested {record} deep"
    return f"data must be one record ({one}) or a list of records; got {got}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
