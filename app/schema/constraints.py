"""What JSON Schema says of values beyond their types: enums, ranges, rules across columns."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import jsonschema_rs

from app.errors import MAX_FAULTS, Fault
from app.schema.forms import Columns, kind, near
from app.schema.values import storage
from app.tensors import Signature, TensorSpec

_OF_ONE_RECORD: Final = frozenset(
    {
        "allOf",
        "anyOf",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "if",
        "maxProperties",
        "minProperties",
        "not",
        "oneOf",
        "patternProperties",
        "propertyNames",
        "then",
    }
)
"""Keywords of an object that look at several columns at once."""


class Constraints:
    """One compiled validator over all columns, one over records where a rule spans columns."""

    def __init__(self, signature: Signature) -> None:
        self._specs = {spec.name: spec for spec in signature.inputs if spec.constraints}
        self._columns = jsonschema_rs.validator_for(
            {
                "properties": {n: {"items": s.constraints} for n, s in self._specs.items()},
                "$defs": (signature.declared or {}).get("$defs", {}),
            }
        )
        declared = signature.declared or {}
        spanning = {k: v for k, v in declared.items() if k in _OF_ONE_RECORD}
        spanning = spanning if declared.get("type") == "object" else {}
        rules = {**spanning, "$defs": declared.get("$defs", {})}
        self._record = jsonschema_rs.validator_for(rules) if spanning else None
        self._by_name = len(signature.inputs) > 1

    def faults(self, columns: Columns, well_typed: Container[str], *, misfits: bool) -> list[Fault]:
        """20 at most: of the `well_typed` columns; of whole records only without `misfits`."""
        faults: list[Fault] = []
        if self._specs:
            given = {
                n: _plain(columns.values[n], s) for n, s in self._specs.items() if n in well_typed
            }
            if not self._columns.is_valid(given):
                faults = self._column_faults(given, single=columns.single)
        if self._record is None or misfits or faults:
            return faults
        return self._record_faults(self._record, columns)

    def _column_faults(self, given: dict[str, list[Any]], *, single: bool) -> list[Fault]:
        found = []
        for error in islice(self._columns.iter_errors(given), MAX_FAULTS):
            name, row, *_ = error.instance_path
            value = given[str(name)][int(row)]
            column = str(name) if self._by_name else None
            found.append(_fault(error, value, None if single else int(row), column))
        return found

    def _record_faults(self, rules: jsonschema_rs.Validator, columns: Columns) -> list[Fault]:
        names = list(columns.values)
        found: list[Fault] = []
        for row, record in enumerate(zip(*columns.values.values(), strict=True)):
            for error in rules.iter_errors(dict(zip(names, record, strict=True))):
                column = str(error.instance_path[0]) if error.instance_path else None
                place = None if columns.single else row
                wanted = f"a record that {error.kind.name} allows"
                found.append(Fault(place, column, wanted, "one that it does not"))
        return found[:MAX_FAULTS]


def _plain(values: Sequence[Any], spec: TensorSpec) -> list[Any]:
    """As the rules see them: true is 1 in a numeric column, 1 is true in a boolean one."""
    family = storage(spec.dtype).kind
    if family == "b":
        return [None if value is None else bool(value) for value in values]
    if family in "fiu" and any(value is True or value is False for value in values):
        return [int(v) if v is True or v is False else v for v in values]
    return list(values)


def _fault(
    error: jsonschema_rs.ValidationError, value: Any, row: int | None, column: str | None
) -> Fault:
    rule, told = error.kind.name, error.kind.as_dict()
    got = kind(value)
    limits: Mapping[str, str] = {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
        "multipleOf": "a multiple of",
    }
    if rule == "enum":
        options = list(told["options"])
        suggestion = (
            near(value, [o for o in options if isinstance(o, str)]) if _text(value) else None
        )
        return Fault(row, column, f"one of {_shown(options)}", f"{got} not among them", suggestion)
    if rule in limits:
        limit = told.get("limit", told.get("multiple_of", ""))
        return Fault(row, column, f"{limits[rule]} {limit}", f"{got} out of range")
    words = {"minLength": "longer", "maxLength": "shorter", "pattern": "that matches the pattern"}
    wanted = f"a string {words[rule]}" if rule in words else f"a value that {rule} allows"
    return Fault(row, column, wanted, f"{got} that does not")


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _shown(options: Sequence[Any]) -> str:
    shown = ", ".join(f'"{o}"' if isinstance(o, str) else str(o) for o in options[:8])
    return shown if len(options) <= 8 else f"{shown} and {len(options) - 8} more"
