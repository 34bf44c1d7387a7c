"""Payloads that fit a signature: the declared examples, or made-up ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from app.schema.fragment import read
from app.schema.layout import holds_objects, record_depth
from app.tensors import Signature, TensorSpec, storage

_FREE_SIZE: Final = 4
"""Length made up for an axis that may have any."""


def records(signature: Signature, count: int) -> list[Any]:
    """`count` records that differ from each other where the schema lets them."""
    declared = list((signature.declared or {}).get("examples", ()))[:count]
    return declared + [made_up(signature, k) for k in range(count - len(declared))]


def made_up(signature: Signature, variant: int) -> Any:
    """One record by the types and ranges of `signature` alone."""
    batched = signature.batched
    values = {s.name: _value(s, variant, batched=batched) for s in signature.inputs}
    return values if len(values) != 1 else next(iter(values.values()))


def _value(spec: TensorSpec, variant: int, *, batched: bool) -> Any:
    depth = record_depth(spec, batched)
    sizes = spec.shape[len(spec.shape) - depth :] if depth else ()
    rules: Mapping[str, Any] = spec.constraints
    lengths = []
    for size in sizes:
        lengths.append(_length(rules) if size is None else size)
        inner = rules.get("items")
        rules = inner if isinstance(inner, dict) else {}
    value = _scalar(spec, rules, variant)
    for length in reversed(lengths):
        value = [value] * length
    return value


def _length(rules: Mapping[str, Any]) -> int:
    low, high = rules.get("minItems", 0), rules.get("maxItems", _FREE_SIZE)
    return int(max(low, min(high, _FREE_SIZE)))


def _scalar(spec: TensorSpec, rules: Mapping[str, Any], variant: int) -> Any:
    if spec.examples:
        return spec.examples[variant % len(spec.examples)]
    if "const" in rules:
        return rules["const"]
    options = [option for option in rules.get("enum", ()) if option is not None]
    if options:
        return options[variant % len(options)]
    kind = storage(spec.dtype).kind
    if kind == "b":
        return variant % 2 == 0
    if kind == "M":
        return f"2020-01-{1 + variant % 28:02d}T00:00:00Z"
    if spec.dtype == "string":
        return _text(rules, variant)
    if holds_objects(rules):
        return _object(rules, variant)
    if spec.dtype == "any":
        return variant
    is_whole = kind in "iu" or rules.get("type") in ("integer", ["integer", "null"])
    return _number(rules, variant, is_whole=is_whole)


def _object(rules: Mapping[str, Any], variant: int) -> dict[str, Any]:
    """What it must have, and no more."""
    document = {"properties": rules.get("properties", {}), "$defs": rules.get("$defs", {})}
    found = {}
    for name in rules.get("required", ()):
        value = read(document["properties"].get(name, {}), document)
        spec = TensorSpec(name, value.dtype, (None, *value.sizes), constraints=value.constraints)
        found[name] = _value(spec, variant, batched=True)
    return found


def _text(rules: Mapping[str, Any], variant: int) -> str:
    if rules.get("contentEncoding") == "base64":
        return ("AAE=", "AgME")[variant % 2]
    text = ("a text", "another text")[variant % 2].ljust(int(rules.get("minLength", 0)), ".")
    return text[: int(rules.get("maxLength", len(text)))]


def _number(rules: Mapping[str, Any], variant: int, *, is_whole: bool) -> float:
    """The lowest number that `rules` allow, and then the next ones."""
    step = rules.get("multipleOf", 1 if is_whole else 0.5)
    low, high = rules.get("minimum", -math.inf), rules.get("maximum", math.inf)
    above, below = rules.get("exclusiveMinimum", -math.inf), rules.get("exclusiveMaximum", math.inf)
    least, most = max(low, above), min(high, below)
    if not is_whole and "multipleOf" not in rules and math.isfinite(most - least):
        step = min(step, (most - least) / 4)
    start = least if math.isfinite(least) else min(0, most - step if math.isfinite(most) else 0)
    first = math.ceil(start / step) * step if is_whole or "multipleOf" in rules else start
    if first <= above and math.isfinite(above):
        first += step
    value = first + variant * step
    if value > high or value >= below:
        value = first
    return int(value) if is_whole else value
