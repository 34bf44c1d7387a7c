"""JSON Schema (2020-12) of one record -> signature, and back."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from app.errors import ModelInvalid
from app.schema.constraints import compiled
from app.schema.fragment import Value, read, resolved
from app.schema.layout import holds_objects, record_depth
from app.tensors import Signature, TensorSpec, storage

_KINDS: Final = {"b": "true or false", "i": "integers", "u": "integers", "f": "numbers"}
_WIDTHS: Final = "buif"
"""Kinds of numpy types; each holds what those before it do."""


def declare(derived: Signature, document: Mapping[str, Any]) -> Signature:
    """The signature that `document`, a JSON Schema of one record, gives a model.

    Raises:
        ModelInvalid: the two contradict each other, or the document cannot be read.
    """
    compiled(document)
    document = resolved(document, document)
    if document.get("type") == "object" or "properties" in document:
        return _declare_columns(derived, document)
    if len(derived.inputs) > 1:
        names = ", ".join(spec.name for spec in derived.inputs)
        raise ModelInvalid(f"schema.json must be an object with properties for {names}")
    value = read(document, document)
    alone = TensorSpec("input", "any", (None, *value.sizes))
    base = derived.inputs[0] if derived.inputs else alone
    spec = _merged(base, value, batched=derived.batched or not derived.inputs)
    return replace(derived, inputs=(spec,), declared=document, guessed=())


def _declare_columns(derived: Signature, document: Mapping[str, Any]) -> Signature:
    properties = document.get("properties", {})
    if not properties:
        raise ModelInvalid("schema.json: properties must name at least one column")
    required = frozenset(document.get("required", ()))
    for name in sorted(required - properties.keys()):
        raise ModelInvalid(f'schema.json requires "{name}", no property{_near(name, properties)}')
    wanted = _wanted(derived, properties)
    batched = derived.batched or not derived.inputs
    inputs = []
    for name, fragment in properties.items():
        value = read(fragment, document)
        shape = (None, *value.sizes) if batched else value.sizes
        base = wanted.get(name, TensorSpec(name, "any", shape, nullable=value.nullable))
        spec = _merged(base, value, batched=batched)
        is_null = value.default is None
        may_lack = name not in required and not (is_null and (value.sizes or not spec.nullable))
        inputs.append(replace(spec, required=not may_lack, default=value.default))
    closed = False in (
        document.get("additionalProperties", True),
        document.get("unevaluatedProperties", True),
    )
    return replace(
        derived, inputs=tuple(inputs), extra_columns=not closed, declared=document, guessed=()
    )


def _wanted(derived: Signature, properties: Mapping[str, Any]) -> dict[str, TensorSpec]:
    """What the model takes by name, all of it among `properties`."""
    if _is_matrix(derived, properties):
        base = derived.inputs[0]
        return {name: replace(base, name=name, shape=(None,)) for name in properties}
    for spec in derived.inputs:
        if spec.name not in properties:
            raise ModelInvalid(
                f'schema.json has no property "{spec.name}", which the model takes'
                f"{_near(spec.name, properties)}"
            )
    return {spec.name: spec for spec in derived.inputs}


def _near(name: str, names: Collection[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f'; did you mean it by "{near[0]}"?' if near else ""


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


def _merged(base: TensorSpec, value: Value, *, batched: bool) -> TensorSpec:
    """`base`, narrowed by what the schema says; the model's own width of numbers is kept."""
    dtype = _dtype(base, value)
    if holds_objects(value.constraints) and dtype != "any":
        raise ModelInvalid(f'the model takes no objects as "{base.name}", schema.json says it does')
    holds_null = storage(base.dtype).kind == "f" or base.dtype in ("any", "datetime")
    if value.nullable and not base.nullable and not holds_null:
        if value.is_typed and value.dtype != "any":
            raise ModelInvalid(f'the model takes no null as "{base.name}", schema.json says it may')
        value = replace(value, nullable=False)
    rules = dict(value.constraints)
    if value.dtype == "int64" and storage(dtype).kind == "f":
        rules["type"] = ["integer", "null"] if value.nullable else "integer"
    shape = _shape(base, value, batched=batched)
    if batched and shape == (None, 1) and value.sizes:
        rules = dict(rules.get("items", {}))  # a row of one value travels as that value
    return replace(
        base,
        shape=shape,
        dtype=dtype,
        nullable=value.nullable,
        constraints=rules,
        examples=value.examples,
    )


def _shape(base: TensorSpec, value: Value, *, batched: bool) -> tuple[int | None, ...]:
    rows, own = (base.shape[:1], base.shape[1:]) if batched else ((), base.shape)
    if not value.sizes and (not value.is_typed or not own or (batched and own == (1,))):
        return base.shape
    pairs = list(zip(own, value.sizes, strict=False))
    if len(own) != len(value.sizes) or any(a != b and None not in (a, b) for a, b in pairs):
        raise ModelInvalid(f'schema.json and the model disagree on the shape of "{base.name}"')
    return (*rows, *(b if a is None else a for a, b in pairs))


def _dtype(base: TensorSpec, value: Value) -> str:
    """The narrower of what the model and the schema say."""
    own, said = storage(base.dtype).kind, storage(value.dtype).kind
    if base.dtype == "any":
        narrow = value.dtype
    elif base.dtype == "string":
        if value.dtype not in ("string", "datetime", "any"):
            raise ModelInvalid(f'the model takes text as "{base.name}", schema.json says otherwise')
        return "string"
    elif own == said:
        return base.dtype
    elif value.dtype == "string" or (said == "M" and base.dtype != "float64"):
        taken = _KINDS.get(own, "date-times")
        raise ModelInvalid(f'the model takes {taken} as "{base.name}", schema.json says text')
    elif said == "M":
        return value.dtype
    elif value.dtype == "any" or _WIDTHS.index(own) <= _WIDTHS.index(said):
        return base.dtype
    else:
        narrow = value.dtype
    if narrow == "int64" and (value.nullable or base.dtype == "float16"):
        return base.dtype if own == "f" else "float64"  # of integers only, but able to be NaN
    return narrow


def json_schema(signature: Signature) -> dict[str, Any]:
    """The JSON Schema of one record: the declared one, or what is known of a derived one."""
    if signature.declared is not None:
        return dict(signature.declared)
    told = {spec.name: value_schema(spec, _sizes(spec, signature)) for spec in signature.inputs}
    if len(told) == 1:
        return next(iter(told.values()))
    return {"type": "object", "properties": told, "required": list(told)}


def value_schema(spec: TensorSpec, sizes: Sequence[int | None] = ()) -> dict[str, Any]:
    """The JSON Schema of values of the type of `spec`, in lists of these sizes, outermost first."""
    types = {"f": "number", "i": "integer", "u": "integer", "b": "boolean", "M": "string"}
    number = storage(spec.dtype)
    name = types.get(number.kind, "string" if spec.dtype == "string" else None)
    fragment: dict[str, Any] = {}
    if name is not None:
        fragment["type"] = [name, "null"] if spec.nullable else name
    if spec.dtype == "datetime":
        fragment["format"] = "date-time"
    if number.kind in "iu" and number.itemsize < 8:
        limits = np.iinfo(number)
        fragment |= {"minimum": int(limits.min), "maximum": int(limits.max)}
    elif number.kind == "u":
        fragment["minimum"] = 0
    for size in reversed(sizes):
        fragment = {"type": "array", "items": fragment}
        if size is not None:
            fragment |= {"minItems": size, "maxItems": size}
    return fragment


def _sizes(spec: TensorSpec, signature: Signature) -> Sequence[int | None]:
    """Of one record's value."""
    depth = record_depth(spec, signature.batched)
    return spec.shape[len(spec.shape) - depth :]
