"""What one column may hold, as a type that msgspec compiles: its values, and its rules.

A type takes no more than JSON Schema and `values` do. A rule that it cannot say makes it None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from app.tensors import TensorSpec, storage

_EXACT: Final = 2**53
"""Up to here each integer is a float of its own, so that rounding leaves it on its side."""
_INT64: Final = {"ge": -(2**63), "le": 2**63 - 1}
"""Beyond, orjson reads a float, or nothing."""
_RANGE: Final = {"minimum": "ge", "exclusiveMinimum": "gt", "maximum": "le"} | {
    "exclusiveMaximum": "lt"
}
_LENGTH: Final = {"minLength": "min_length", "maxLength": "max_length"}
_WHOLE: Final = ("integer", ["integer", "null"])


def kind_of(spec: TensorSpec) -> Any:
    """The type of one value of `spec`, a column of scalars; None where there is none."""
    rules = dict(spec.constraints)
    family = storage(spec.dtype).kind
    if "enum" in rules or "const" in rules:
        return _one_of(rules, spec)
    if family == "f":
        is_whole = rules.pop("type", None) in _WHOLE
        found = _number(rules, is_whole=is_whole)
    elif family in "iu":
        found = _number(rules, is_whole=True)
    elif spec.dtype == "string":
        found = _text(rules)
    elif spec.dtype == "any":
        found = None if rules else Annotated[int, _meta(_INT64)] | float | bool | str
    else:
        found = None if rules else {"b": bool, "M": str}[family]
    if found is None or not spec.nullable or family in "iu":
        return found
    return found | None


def takes_default(spec: TensorSpec) -> bool:
    """What stands in for an absent value needs no conversion."""
    if spec.required or spec.default is None:
        return True
    family = storage(spec.dtype).kind
    takes: dict[str, tuple[type, ...]] = {"f": (int, float), "b": (bool,), "M": (str,)}
    if family == "O":
        return spec.dtype == "any" or type(spec.default) is str
    return type(spec.default) in takes.get(family, (int,))


def _meta(limits: Mapping[str, Any]) -> Any:
    import msgspec

    return msgspec.Meta(**limits)


def _number(rules: Mapping[str, Any], *, is_whole: bool) -> Any:
    limits: dict[str, Any] = dict(_INT64) if is_whole else {}
    for rule, limit in rules.items():
        if rule not in _RANGE or type(limit) not in (int, float) or not abs(limit) < _EXACT:
            return None
        word = _RANGE[rule]
        if not is_whole:
            limits[word] = float(limit)
        elif word in ("ge", "gt"):
            least = math.ceil(limit) if word == "ge" else math.floor(limit) + 1
            limits["ge"] = max(limits["ge"], least)
        else:
            most = math.floor(limit) if word == "le" else math.ceil(limit) - 1
            limits["le"] = min(limits["le"], most)
    if {"ge", "gt"} <= limits.keys() or {"le", "lt"} <= limits.keys():
        return None
    if not limits:
        return float
    return Annotated[int if is_whole else float, _meta(limits)]


def _text(rules: Mapping[str, Any]) -> Any:
    limits = {}
    for rule, limit in rules.items():
        if rule not in _LENGTH or type(limit) is not int:
            return None
        limits[_LENGTH[rule]] = limit
    return Annotated[str, _meta(limits)] if limits else str


def _one_of(rules: dict[str, Any], spec: TensorSpec) -> Any:
    """Of listed texts in a column of texts, of integers in one of numbers."""
    listed = rules.pop("enum", None) or [rules.pop("const", None)]
    family = storage(spec.dtype).kind
    rules.pop("type", None) if family == "f" and rules.get("type") in _WHOLE else None
    wanted: type = str if spec.dtype == "string" else int
    options = [option for option in listed if option is not None]
    if rules or spec.dtype == "any" or family in "bM" or not options:
        return None
    if any(type(o) is not wanted or (type(o) is int and abs(o) >= _EXACT) for o in options):
        return None
    if spec.nullable and family not in "iu" and len(options) < len(listed):
        options.append(None)
    return Literal[tuple(options)]
