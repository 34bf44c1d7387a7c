"""The JSON Schema of whole requests and of their answers, by a signature."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.schema.declared import json_schema, value_schema
from app.schema.examples import records
from app.schema.named import own_names
from app.tensors import Signature, TensorSpec, storage

Json = dict[str, Any]


def request(signature: Signature, *, takes_one: bool = True) -> Json:
    """What is sent: a record or a batch; without `takes_one` a batch, where one may be sent.

    A `$ref` in it is meant within the JSON Schema that the signature declares.
    """
    record, names = json_schema(signature), own_names(signature)
    if len(names) > 1:
        columns = record.get("properties", {})
        given = {n: _several(columns.get(n, {}), signature, takes_one=takes_one) for n in names}
    else:
        name = names[0] if names else "data"
        given = {name: _several(record, signature, takes_one=takes_one)}
    outputs = [spec.name for spec in signature.outputs]
    outputs += [alias for alias in signature.aliases if alias not in outputs]
    asked = {"type": "array", "items": {"type": "string", "enum": outputs}, "minItems": 1}
    properties = {**given, "outputs": asked}
    if signature.params:
        params = {spec.name: value_schema(spec, spec.shape[1:]) for spec in signature.params}
        properties["params"] = {"type": "object", "properties": params}
    return {"type": "object", "properties": properties, "required": list(given)}


def example(signature: Signature) -> Json:
    """A request of one record: a declared example, or one that is made up."""
    (record,), names = records(signature, 1), own_names(signature)
    if len(names) > 1 and isinstance(record, dict):
        return {name: record.get(name) for name in names}
    return {names[0] if names else "data": record}


def batch_example(signature: Signature) -> Json:
    """The same as a batch, where one may be sent."""
    one = example(signature)
    return {name: [value] for name, value in one.items()} if signature.batched else one


def answer(signature: Signature, *, takes_one: bool = True) -> Json:
    """What comes back; without `takes_one` that of a batch whose request names no outputs."""
    results = _results(signature, takes_one=takes_one)
    return {"type": "object", "properties": {"results": results}, "required": ["results"]}


def _results(signature: Signature, *, takes_one: bool) -> Json:
    (name,) = signature.canonical((signature.result,))
    spec = next(spec for spec in signature.outputs if spec.name == name)
    has_rows = spec.shape[:1] == (None,)
    if spec.dtype == "any" or not spec.shape or (signature.batched and not has_rows):
        return {}
    one = value_schema(_as_json(spec), spec.shape[1:] if signature.batched else spec.shape)
    told = _several(one, signature, takes_one=takes_one)
    if not takes_one:
        return told
    by_name = {"type": "object", "description": "By name, where the request names outputs."}
    return {"anyOf": [*told.get("anyOf", [told]), by_name]}


def _as_json(spec: TensorSpec) -> TensorSpec:
    """As results have it: NaN is null, and a time is told as numpy writes it."""
    dtype = "string" if spec.dtype == "datetime" else spec.dtype
    return replace(spec, dtype=dtype, nullable=storage(spec.dtype).kind == "f")


def _several(one: Json, signature: Signature, *, takes_one: bool) -> Json:
    if not signature.batched:
        return one
    many = {"type": "array", "items": one}
    return {"anyOf": [one, many]} if takes_one else many
