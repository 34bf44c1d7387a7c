"""JSON Schema (2020-12) of one record -> signature, and back."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from app.errors import ModelInvalid
from app.schema.values import storage
from app.tensors import Signature, TensorSpec

_DTYPES: Final = {"number": "float64", "integer": "int64", "boolean": "bool", "string": "string"}
_ANNOTATIONS: Final = frozenset(
    {"$comment", "$defs", "$id", "$schema", "default", "deprecated", "description", "examples"}
    | {"format", "readOnly", "title", "type", "writeOnly"}
)
"""Keywords of one value that refuse nothing, or that its data type says already."""


@dataclass(frozen=True, slots=True)
class _Value:
    """What a JSON Schema says of one value."""

    dtype: str
    sizes: tuple[int | None, ...] = ()
    nullable: bool = False
    constraints: Mapping[str, Any] = field(default_factory=dict)
    examples: tuple[Any, ...] = ()


def declare(derived: Signature, document: Mapping[str, Any]) -> Signature:
    """The signature that `document`, a JSON Schema of one record, gives a model.

    Raises:
        ModelInvalid: the two contradict each other, or the document cannot be read.
    """
    if document.get("type") == "object" or "properties" in document:
        return _declare_columns(derived, document)
    if len(derived.inputs) != 1:
        names = ", ".join(spec.name for spec in derived.inputs)
        raise ModelInvalid(f"schema.json must be an object with properties for {names}")
    spec = _merged(derived.inputs[0], _read(document, document), batched=derived.batched)
    return replace(derived, inputs=(spec,), declared=document, guessed=())


def _declare_columns(derived: Signature, document: Mapping[str, Any]) -> Signature:
    properties = document.get("properties", {})
    if not properties or not all(isinstance(p, (dict, bool)) for p in properties.values()):
        raise ModelInvalid("schema.json: properties must name at least one column")
    required = frozenset(document.get("required", ()))
    wanted = {spec.name: spec for spec in derived.inputs}
    if _is_matrix(derived, properties):
        dtype = derived.inputs[0].dtype
        wanted = {name: TensorSpec(name, dtype, (None,)) for name in properties}
    for name in wanted:
        if name not in properties:
            near = difflib.get_close_matches(name, properties, n=1)
            hint = f'; did you mean it by "{near[0]}"?' if near else ""
            raise ModelInvalid(f'schema.json has no property "{name}", which the model takes{hint}')
    inputs = []
    for name, fragment in properties.items():
        value = _read(fragment if isinstance(fragment, dict) else {}, document)
        base = wanted.get(name, TensorSpec(name, value.dtype, (None, *value.sizes)))
        spec = _merged(base, value, batched=derived.batched)
        default = fragment.get("default") if isinstance(fragment, dict) else None
        may_lack = name not in required and (default is not None or spec.nullable)
        inputs.append(replace(spec, required=not may_lack, default=default))
    extra = document.get("additionalProperties", True) is not False
    return replace(
        derived, inputs=tuple(inputs), extra_columns=extra, declared=document, guessed=()
    )


def _is_matrix(derived: Signature, properties: Mapping[str, Any]) -> bool:
    """The model takes one array of rows, and the schema names the columns of it."""
    if len(derived.inputs) != 1 or derived.inputs[0].name in properties:
        return False
    shape = derived.inputs[0].shape
    if len(shape) != 2 or not derived.batched:
        return False
    if shape[1] not in (None, len(properties)):
        raise ModelInvalid(
            f"schema.json has {len(properties)} properties, the model takes {shape[1]} columns"
        )
    return True


def _merged(base: TensorSpec, value: _Value, *, batched: bool) -> TensorSpec:
    """`base`, narrowed by what the schema says; the model's own width of numbers is kept."""
    shape = base.shape
    if value.sizes:
        rows = shape[:1] if batched else ()
        own = shape[len(rows) :]
        if len(own) != len(value.sizes) or any(
            a is not None and b is not None and a != b
            for a, b in zip(own, value.sizes, strict=True)
        ):
            raise ModelInvalid(f'schema.json and the model disagree on the shape of "{base.name}"')
        shape = (*rows, *(b if a is None else a for a, b in zip(own, value.sizes, strict=True)))
    same = storage(base.dtype).kind == storage(value.dtype).kind and base.dtype != "any"
    if base.dtype == "string" and value.dtype != "string":
        raise ModelInvalid(f'the model takes text as "{base.name}", schema.json says otherwise')
    if storage(base.dtype).kind in "fiub" and storage(value.dtype).kind == "O":
        if value.dtype == "string":
            raise ModelInvalid(f'the model takes numbers as "{base.name}", schema.json says text')
        same = True
    return replace(
        base,
        shape=shape,
        dtype=base.dtype if same else value.dtype,
        nullable=value.nullable,
        constraints=value.constraints,
        examples=value.examples,
    )


def _read(fragment: Mapping[str, Any], document: Mapping[str, Any]) -> _Value:
    fragment = _resolved(fragment, document)
    types = fragment.get("type", ())
    types = [types] if isinstance(types, str) else list(types) or _types_of_enum(fragment)
    nullable = "null" in types
    types = [t for t in types if t != "null"]
    if types == ["array"]:
        inner = _read(fragment.get("items", {}), document)
        low, high = fragment.get("minItems"), fragment.get("maxItems")
        size = low if low == high and isinstance(low, int) else None
        nested = {"items": dict(inner.constraints)} if inner.constraints else {}
        return _Value(inner.dtype, (size, *inner.sizes), inner.nullable, nested)
    dtype = _DTYPES.get(types[0], "any") if len(types) == 1 else "any"
    if set(types) == {"integer", "number"}:
        dtype = "float64"
    if dtype == "string" and fragment.get("format") == "date-time":
        dtype = "datetime"
    left = {k: v for k, v in fragment.items() if k not in _ANNOTATIONS}
    return _Value(dtype, (), nullable or not types, left, tuple(fragment.get("examples", ())))


def _resolved(fragment: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """With a local `$ref` followed, and pydantic's `anyOf: [X, null]` told by `type`."""
    reference = fragment.get("$ref")
    if isinstance(reference, str):
        if not reference.startswith("#/$defs/"):
            raise ModelInvalid("schema.json: only references to #/$defs/ are followed")
        found = document.get("$defs", {}).get(reference.removeprefix("#/$defs/"))
        if not isinstance(found, dict):
            raise ModelInvalid("schema.json: a $ref points to nothing")
        rest = {k: v for k, v in fragment.items() if k != "$ref"}
        return _resolved({**found, **rest}, document)
    options = fragment.get("anyOf")
    if isinstance(options, list) and len(options) == 2 and {"type": "null"} in options:
        other = next(o for o in options if o != {"type": "null"})
        rest = {k: v for k, v in fragment.items() if k != "anyOf"}
        inner = _resolved({**other, **rest}, document)
        return {**inner, "type": [inner["type"], "null"]} if "type" in inner else inner
    return fragment


def _types_of_enum(fragment: Mapping[str, Any]) -> list[str]:
    """The types of the values listed, where the fragment itself names none."""
    values = fragment.get("enum") or ([fragment["const"]] if "const" in fragment else [])
    names = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
    return sorted({names.get(type(value), "object") for value in values})


def json_schema(signature: Signature) -> dict[str, Any]:
    """The JSON Schema of one record: the declared one, or what is known of a derived one."""
    if signature.declared is not None:
        return dict(signature.declared)
    batched = signature.batched
    if len(signature.inputs) == 1:
        return _fragment(signature.inputs[0], batched=batched)
    return {
        "type": "object",
        "properties": {s.name: _fragment(s, batched=batched) for s in signature.inputs},
        "required": [s.name for s in signature.inputs],
    }


def _fragment(spec: TensorSpec, *, batched: bool) -> dict[str, Any]:
    types = {"f": "number", "i": "integer", "u": "integer", "b": "boolean", "M": "string"}
    name = types.get(storage(spec.dtype).kind, "string" if spec.dtype == "string" else None)
    fragment: dict[str, Any] = {}
    if name is not None:
        fragment["type"] = [name, "null"] if spec.nullable else name
    if spec.dtype == "datetime":
        fragment["format"] = "date-time"
    sizes = spec.shape[1:] if batched else spec.shape
    for size in reversed(() if batched and sizes == (1,) else sizes):
        fragment = {"type": "array", "items": fragment}
        if size is not None:
            fragment |= {"minItems": size, "maxItems": size}
    return fragment
