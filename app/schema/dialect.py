"""JSON Schema (2020-12 and before) as Swagger 2, OpenAPI 3.0 and 3.1 write it.

What the older two have no word for is left out: a schema of theirs may take more, never less.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from app.errors import ModelInvalid
from app.schema.fragment import optional, referred

Json = dict[str, Any]

_DEFINED: Final = frozenset(
    {"$anchor", "$comment", "$defs", "$dynamicAnchor", "$dynamicRef", "$id", "$ref", "$schema"}
    | {"$vocabulary", "definitions"}
)
"""What is said of the schema itself, and what its references lead to."""
_ONE: Final = frozenset(
    {"additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then"}
    | {"unevaluatedItems", "unevaluatedProperties"}
)
"""Keywords whose value is a schema."""
_LISTS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAPS: Final = frozenset({"dependentSchemas", "patternProperties", "properties"})
_OLDER: Final = frozenset(
    {"additionalProperties", "allOf", "default", "description", "enum", "exclusiveMaximum"}
    | {"exclusiveMinimum", "format", "items", "maxItems", "maxLength", "maxProperties", "maximum"}
    | {"minItems", "minLength", "minProperties", "minimum", "multipleOf", "pattern", "properties"}
    | {"readOnly", "required", "title", "type", "uniqueItems"}
)
"""What Swagger 2 knows (its section "Schema Object")."""
_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "2": _OLDER,
    "3": _OLDER | {"anyOf", "deprecated", "not", "oneOf", "writeOnly"},
}
_PLACES: Final = {"2": "#/definitions/", "3": "#/components/schemas/"}
_NULLABLE: Final = {"2": "x-nullable", "3": "nullable"}
_NULL: Final = {"type": "null"}
_BOUNDS: Final[Mapping[str, tuple[str, Callable[[Any, Any], bool]]]] = {
    "exclusiveMinimum": ("minimum", lambda own, other: own >= other),
    "exclusiveMaximum": ("maximum", lambda own, other: own <= other),
}


class Dialect:
    """The schemas of one document that come from one JSON Schema, `root`."""

    def __init__(self, version: str, root: Mapping[str, Any], prefix: str) -> None:
        """`version`: 2, 3 or 3.1. `prefix`: of the names of what references lead to."""
        self._version = version
        self._place = _PLACES["2" if version == "2" else "3"]
        self._root = root
        self._prefix = prefix
        self._names: dict[str, str] = {}
        self._parts: dict[str, Json] = {}

    def of(self, schema: Any) -> Json:
        """`schema`, whose references are meant within `root`, in this dialect."""
        if not isinstance(schema, dict):
            return {"not": {}} if schema is False and self._version != "2" else {}
        given = schema if self._version == "3.1" else optional(schema)
        told = {key: self._value(key, v) for key, v in given.items() if key not in _DEFINED}
        _mend(told)
        if self._version != "3.1":
            told = self._older(told)
        if not isinstance(schema.get("$ref"), str):
            return told
        reference = self._reference(schema["$ref"])
        return {**told, "allOf": [reference, *told.get("allOf", ())]} if told else reference

    def parts(self) -> dict[str, Json]:
        """By name, what references of all that was asked for so far lead to."""
        while len(self._parts) < len(self._names):
            for reference, name in list(self._names.items()):
                if name not in self._parts:
                    self._parts[name] = self.of(referred(reference, self._root))
        return self._parts

    def _value(self, key: str, value: Any) -> Any:
        is_switch = key == "additionalProperties" and isinstance(value, bool)
        if key in _ONE and not is_switch and not isinstance(value, list):
            return self.of(value)
        if key in _LISTS and isinstance(value, list):
            return [each if each == _NULL else self.of(each) for each in value]
        if key in _MAPS and isinstance(value, dict):
            return {name: self.of(each) for name, each in value.items()}
        return value

    def _reference(self, reference: str) -> Json:
        """Anything, where it leads nowhere."""
        if reference not in self._names:
            try:
                referred(reference, self._root)
            except ModelInvalid:
                return {}
            name = self._prefix + re.sub(r"[^A-Za-z0-9._-]", "_", reference.rpartition("/")[2])
            while name in self._names.values():
                name += "_"
            self._names[reference] = name
        return {"$ref": self._place + self._names[reference]}

    def _older(self, told: Json) -> Json:
        """By the words that Swagger 2 and OpenAPI 3.0 have."""
        if "const" in told:
            told["enum"] = [told["const"]]
        example = {"example": told["examples"][0]} if told.get("examples") else {}
        is_nullable = _drop_null(told)
        for key in ("anyOf", "oneOf"):
            if key in told:
                is_nullable = self._choice(told, key) or is_nullable
        known = {k: v for k, v in told.items() if k in _KNOWN[self._version] and v != []}
        if known.get("type") == "array":
            known.setdefault("items", {})
        for exclusive, (bound, is_narrower) in _BOUNDS.items():
            limit = known.pop(exclusive, None)
            if limit is not None and is_narrower(limit, known.get(bound, limit)):
                known |= {bound: limit, exclusive: True}
        return known | example | ({_NULLABLE[self._version]: True} if is_nullable else {})

    def _choice(self, told: Json, key: str) -> bool:
        """Null is told beside the other choices, and a single one without a choice."""
        others = [each for each in told[key] if each != _NULL]
        is_nullable = len(others) < len(told[key])
        if len(others) > 1:
            told[key] = others
        else:
            del told[key]
            told["allOf"] = [*told.get("allOf", ()), *others]  # a reference takes no null beside it
        return is_nullable


def _mend(told: Json) -> None:
    """What drafts before 2020-12 write otherwise."""
    if isinstance(told.get("items"), list):
        del told["items"]
    for exclusive, (bound, _) in _BOUNDS.items():
        if isinstance(told.get(exclusive), bool):
            is_exclusive = told.pop(exclusive)
            if is_exclusive and bound in told:
                told[exclusive] = told.pop(bound)


def _drop_null(told: Json) -> bool:
    """Whether null is taken; `type` is then one other name, or not there."""
    types = told.get("type", [])
    names = {types} if isinstance(types, str) else set(types)
    others = names - {"null"}
    if others == {"integer", "number"}:
        others = {"number"}
    if len(others) == 1:
        (told["type"],) = others
    else:
        told.pop("type", None)
    return "null" in names
