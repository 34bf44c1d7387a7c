"""What a JSON Schema (2020-12 and before) says of one value: its type, its sizes, its rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.errors import ModelInvalid

_DTYPES: Final = {"number": "float64", "integer": "int64", "boolean": "bool", "string": "string"}
_ANNOTATIONS: Final = frozenset(
    {"$comment", "$defs", "$id", "$schema", "default", "definitions", "deprecated", "description"}
    | {"examples", "format", "readOnly", "title", "type", "writeOnly"}
)
"""Keywords of one value that refuse nothing, or that its data type says already."""
_NULL: Final = {"type": "null"}
_MAX_DEPTH: Final = 32
"""Lists in lists, and references to references; numpy has no more axes than 64."""


@dataclass(frozen=True, slots=True)
class Value:
    """What a JSON Schema says of one value."""

    dtype: str
    sizes: tuple[int | None, ...] = ()
    nullable: bool = False
    is_typed: bool = True
    """False: it names no type, so the model's own holds."""
    constraints: Mapping[str, Any] = field(default_factory=dict)
    examples: tuple[Any, ...] = ()
    default: Any = None


def read(fragment: Any, document: Mapping[str, Any], depth: int = 0) -> Value:
    """What `fragment`, a part of the JSON Schema `document`, says of a value.

    Raises:
        ModelInvalid: it describes no value that a column can hold.
    """
    if depth > _MAX_DEPTH:
        raise ModelInvalid("schema.json: lists are nested without end")
    if fragment is False:
        raise ModelInvalid("schema.json: a property that takes no value cannot be served")
    fragment = resolved(fragment, document) if isinstance(fragment, dict) else {}
    stated = fragment.get("type", ())
    types = {stated} if isinstance(stated, str) else set(stated) or _types_of_enum(fragment)
    nullable = "null" in types
    types.discard("null")
    if types == {"array"}:
        return _list(fragment, document, depth)
    dtype = _DTYPES.get(next(iter(types)), "any") if len(types) == 1 else "any"
    if types == {"integer", "number"}:
        dtype = "float64"
    if dtype == "string" and fragment.get("format") == "date-time":
        dtype = "datetime"
    rules = {k: v for k, v in fragment.items() if k not in _ANNOTATIONS}
    if dtype == "any" and stated:
        rules["type"] = stated
    return Value(
        dtype,
        nullable=nullable or not types,
        is_typed=bool(types),
        constraints=rules,
        examples=tuple(fragment.get("examples", ())),
        default=fragment.get("default"),
    )


def resolved(fragment: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """With local references followed, and `anyOf: [X, null]` told by `type`, as pydantic means it.

    Raises:
        ModelInvalid: a reference leads out of the document, to nothing, or in a circle.
    """
    result = dict(fragment)
    for _ in range(_MAX_DEPTH):
        result = _followed(result, document)
        whole = result.get("allOf")
        if isinstance(whole, list) and len(whole) == 1 and isinstance(whole[0], dict):
            del result["allOf"]
            result = {**whole[0], **result}
            continue
        word = _optional_word(result)
        if word is None:
            return result
        other = next(o for o in result.pop(word) if o != _NULL)
        result = {**_or_null(_followed(other, document)), **result}
    raise ModelInvalid("schema.json: a $ref leads in a circle")


def optional(fragment: Mapping[str, Any]) -> dict[str, Any]:
    """With `anyOf: [X, null]` told by `type`, unless X is a reference."""
    result, word = dict(fragment), _optional_word(fragment)
    if word is None:
        return result
    other = next(o for o in fragment[word] if o != _NULL)
    if "$ref" in other:
        return result
    del result[word]
    return {**_or_null(dict(other)), **result}


def _followed(fragment: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(fragment)
    for _ in range(_MAX_DEPTH):
        if not isinstance(result.get("$ref"), str):
            return result
        result = {**referred(result.pop("$ref"), document), **result}
    raise ModelInvalid("schema.json: a $ref leads in a circle")


def _list(fragment: Mapping[str, Any], document: Mapping[str, Any], depth: int) -> Value:
    inner = read(fragment.get("items", {}), document, depth + 1)
    low, high = fragment.get("minItems"), fragment.get("maxItems")
    size = int(low) if low is not None and low == high else None
    told = {"items", "minItems", "maxItems"} if size is not None else {"items"}
    rules = {k: v for k, v in fragment.items() if k not in _ANNOTATIONS and k not in told}
    if inner.constraints:
        rules["items"] = dict(inner.constraints)
    return Value(
        inner.dtype,
        (size, *inner.sizes),
        inner.nullable,
        inner.is_typed,
        rules,
        inner.examples,
        fragment.get("default"),
    )


def referred(reference: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a JSON Pointer (RFC 6901) within the document points to.

    Raises:
        ModelInvalid: it leads out of the document, or to no schema.
    """
    if not reference.startswith("#/"):
        raise ModelInvalid("schema.json: only references into the file itself are followed (#/...)")
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise ModelInvalid(f'schema.json: the $ref "{reference[:100]}" points to no schema')
    return found


def _optional_word(fragment: Mapping[str, Any]) -> str | None:
    return next((w for w in ("anyOf", "oneOf") if _is_optional(fragment.get(w))), None)


def _is_optional(options: Any) -> bool:
    return (
        isinstance(options, list)
        and len(options) == 2
        and options.count(_NULL) == 1
        and all(isinstance(option, dict) for option in options)
    )


def _or_null(fragment: dict[str, Any]) -> dict[str, Any]:
    """`fragment`, of which null is one more value."""
    types = fragment.get("type")
    if types is not None:
        fragment["type"] = [*([types] if isinstance(types, str) else types), "null"]
    if isinstance(fragment.get("enum"), list):
        fragment["enum"] = [*fragment["enum"], None]
    if "const" in fragment:
        fragment["enum"] = [fragment.pop("const"), None]
    return fragment


def _types_of_enum(fragment: Mapping[str, Any]) -> set[str]:
    """The types of the values listed, where the fragment itself names none."""
    values = fragment.get("enum") or ([fragment["const"]] if "const" in fragment else [])
    names = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
    return {names.get(type(value), "object") for value in values}
