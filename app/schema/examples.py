"""Payloads that fit a signature: the declared examples, or made-up ones."""

from __future__ import annotations

from typing import Any, Final

from app.schema.layout import record_depth
from app.schema.values import storage
from app.tensors import Signature, TensorSpec

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
    value = _scalar(spec, variant)
    for size in reversed(sizes):
        value = [value] * (_FREE_SIZE if size is None else size)
    return value


def _scalar(spec: TensorSpec, variant: int) -> Any:
    rules = spec.constraints
    if spec.examples:
        return spec.examples[variant % len(spec.examples)]
    if "const" in rules:
        return rules["const"]
    options = [option for option in rules.get("enum", ()) if option is not None]
    if options:
        return options[variant % len(options)]
    return _of_kind(spec, variant)


def _of_kind(spec: TensorSpec, variant: int) -> Any:
    kind = storage(spec.dtype).kind
    if kind == "b":
        return variant % 2 == 0
    if kind == "M":
        return f"2020-01-{1 + variant % 28:02d}T00:00:00Z"
    if spec.dtype == "string":
        return _text(spec, variant)
    if spec.dtype == "any":
        return variant
    low, high = _bounds(spec)
    value = low + variant * (0.5 if kind == "f" else 1)
    return value if value <= high else low


def _text(spec: TensorSpec, variant: int) -> str:
    text = ("a text", "another text")[variant % 2]
    return text.ljust(spec.constraints.get("minLength", 0), ".")[
        : spec.constraints.get("maxLength")
    ]


def _bounds(spec: TensorSpec) -> tuple[float, float]:
    rules = spec.constraints
    step = rules.get("multipleOf", 1)
    low = rules.get("minimum", rules.get("exclusiveMinimum"))
    high = rules.get("maximum", rules.get("exclusiveMaximum"))
    if low is None:
        low = 0 if high is None else min(0, high - step)
    elif "minimum" not in rules:
        low = low + step if high is None else (low + high) / 2
    return low, float("inf") if high is None else high
