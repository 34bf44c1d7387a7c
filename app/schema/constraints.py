"""What JSON Schema says of values beyond their types: enums, ranges, rules across columns."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import jsonschema_rs

from app.errors import MAX_FAULTS, Fault, ModelInvalid
from app.schema.forms import MISSING, SKIPPED, Columns, kind, near
from app.tensors import Signature, TensorSpec, storage

_OF_ONE_RECORD: Final = frozenset(
    {
        "allOf",
        "anyOf",
        "dependencies",
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

_LIMITS: Final = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
    "multipleOf": "a multiple of",
}
_LENGTHS: Final = {
    "minLength": ("a string of at least {} characters", "a shorter one"),
    "maxLength": ("a string of at most {} characters", "a longer one"),
    "minItems": ("at least {} values", "fewer"),
    "maxItems": ("at most {} values", "more"),
}
_TYPES: Final = {"number": "a number", "integer": "an integer", "string": "a string"} | {
    "boolean": "true or false", "array": "a list", "object": "an object"
}  # fmt: skip

Rows = Mapping[str, Collection[int]]
"""Column -> rows."""


def compiled(rules: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """A validator for `rules`, a JSON Schema; nothing is fetched for it.

    Raises:
        ModelInvalid: it is no JSON Schema.
    """
    try:
        return jsonschema_rs.validator_for(dict(rules), offline=True)
    except jsonschema_rs.ValidationError as error:
        raise ModelInvalid(f"schema.json is no JSON Schema: {error.message[:300]}") from error
    except ValueError as error:  # keys that are no text, too deep, half a surrogate pair
        raise ModelInvalid("schema.json is no JSON Schema: it cannot be read") from error


class Constraints:
    """One compiled validator over all columns, one over records where a rule spans columns."""

    def __init__(self, signature: Signature) -> None:
        declared = signature.declared or {}
        shared = {k: v for k, v in declared.items() if k in ("$schema", "$defs", "definitions")}
        self._specs = {spec.name: spec for spec in signature.inputs if spec.constraints}
        per_column = {n: {"items": s.constraints} for n, s in self._specs.items()}
        self._columns = compiled({**shared, "properties": per_column})
        spanning = {k: v for k, v in declared.items() if k in _OF_ONE_RECORD}
        is_table = declared.get("type") == "object" or "properties" in declared
        is_spanned = is_table and bool(spanning)
        self._records = compiled({**shared, "items": spanning}) if is_spanned else None
        self._inputs = {spec.name: spec for spec in signature.inputs}

    @property
    def are_none(self) -> bool:
        """Types and sizes are all there is to look at."""
        return not self._specs and self._records is None

    @property
    def span_columns(self) -> bool:
        """A rule looks at several columns at once."""
        return self._records is not None

    def faults(self, columns: Columns, bad: Rows, *, misfits: bool) -> list[Fault]:
        """20 at most: of all values but those of `bad` rows; of records only without `misfits`."""
        faults: list[Fault] = []
        if self._specs:
            given = {n: _plain(columns.values[n], s, bad.get(n)) for n, s in self._specs.items()}
            if not self._columns.is_valid(given):
                faults = self._column_faults(given, columns, bad)
        if self._records is None or misfits or faults or columns.rows == 0:
            return faults
        return self._record_faults(self._records, columns)

    def _column_faults(
        self, given: Mapping[str, list[Any]], columns: Columns, bad: Rows
    ) -> list[Fault]:
        found = []
        for error in islice(self._columns.iter_errors(dict(given)), MAX_FAULTS):
            name, position, *place = error.instance_path
            value = given[str(name)][int(position)]
            for step in place:
                value = value[step if isinstance(value, dict) else int(step)]
            row = _kept(columns.values[str(name)], bad.get(str(name), ()))[int(position)]
            column: str | int | None = str(name) if len(self._inputs) > 1 else None
            at = ""
            if column is None and len(place) == 1 and isinstance(place[0], int):
                column = place[0]
            elif place:
                at = f" at {''.join(f'[{step}]' for step in place)}"
            wanted, got, suggestion = _told(error, value)
            found.append(
                Fault(None if columns.single else row, column, wanted, f"{got}{at}", suggestion)
            )
        return found

    def _record_faults(self, rules: jsonschema_rs.Validator, columns: Columns) -> list[Fault]:
        names = list(columns.values)
        plain = [_plain(columns.values[n], s, None) for n, s in self._inputs.items()]
        records = [
            {n: v for n, v in zip(names, record, strict=True) if v is not MISSING}
            for record in zip(*plain, strict=True)
        ]
        found: list[Fault] = []
        if rules.is_valid(records):
            return found
        for error in islice(rules.iter_errors(records), MAX_FAULTS):
            row, *place = error.instance_path
            column = str(place[0]) if place else None
            at = None if columns.single else int(row)
            told = error.kind.as_dict()
            if error.kind.name == "required":
                found.append(Fault(at, str(told["property"]), "a value here", "nothing"))
            elif column is not None and len(place) == 1:
                wanted, got, suggestion = _told(error, records[int(row)][column])
                found.append(Fault(at, column, f"{wanted} here", got, suggestion))
            else:
                wanted = f"a record that {error.kind.name} allows"
                found.append(Fault(at, column, wanted, "one that it does not"))
        return found


def _kept(values: Sequence[Any], bad: Collection[int]) -> list[int]:
    """The rows that rules look at: a value is there, and is of the right type."""
    return [
        r for r, v in enumerate(values) if v is not MISSING and v is not SKIPPED and r not in bad
    ]


def _plain(values: Sequence[Any], spec: TensorSpec, bad: Collection[int] | None) -> list[Any]:
    """As the rules see them: true is 1 in a numeric column, 1 is true in a boolean one.

    Args:
        bad: rows to leave out, along with what is missing; None: none are, all rows stay.
    """
    if bad is not None:
        values = [values[row] for row in _kept(values, bad)]
    family = storage(spec.dtype).kind
    if family == "b":
        return [bool(v) if isinstance(v, (int, float)) else v for v in values]
    if family in "fiu" and bool in set(map(type, values)):
        return [int(v) if v is True or v is False else v for v in values]
    return values if isinstance(values, list) else list(values)


def _told(error: jsonschema_rs.ValidationError, value: Any) -> tuple[str, str, str | None]:
    """What was expected, what was got, and a suggestion."""
    rule, told = error.kind.name, error.kind.as_dict()
    got = kind(value)
    if rule in ("enum", "const"):
        options = list(told["options"]) if rule == "enum" else [told["expected_value"]]
        texts = [option for option in options if isinstance(option, str)]
        suggestion = near(value, texts) if isinstance(value, str) else None
        return f"one of {_shown(options)}", f"{got} not among them", suggestion
    if rule in _LIMITS:
        limit = told["limit"] if "limit" in told else told.get("multiple_of")
        return f"{_LIMITS[rule]} {limit}", f"{got} out of range", None
    if rule == "type":
        return " or ".join(_TYPES.get(t, "null") for t in sorted(told["types"])), got, None
    if rule in _LENGTHS:
        wanted, other = _LENGTHS[rule]
        return wanted.format(told["limit"]), other, None
    if rule == "pattern":
        return "a string that matches the pattern", f"{got} that does not", None
    return f"a value that {rule} allows", f"{got} that it does not", None


def _shown(options: Sequence[Any]) -> str:
    shown = ", ".join(json.dumps(option, ensure_ascii=False) for option in options[:8])
    return shown if len(options) <= 8 else f"{shown} and {len(options) - 8} more"
