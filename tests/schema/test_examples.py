"""`app.schema.examples`: made-up payloads fit the schema that they are made from."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.schema import Schema
from app.schema.declared import declare
from app.schema.examples import made_up, records
from app.tensors import Signature, TensorSpec

OUT = (TensorSpec("label", "int64", (None,)),)


def table(properties: dict[str, Any], **more: Any) -> Schema:
    return Schema(declare(Signature((), OUT), {"properties": properties, **more}))


@pytest.mark.parametrize(
    "fragment",
    [
        {"type": "number"},
        {"type": "number", "minimum": 3, "maximum": 3},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.1},
        {"type": "integer", "exclusiveMinimum": 0, "maximum": 2},
        {"type": "integer", "minimum": 0.5},
        {"type": "integer", "minimum": 7, "multipleOf": 5},
        {"type": "integer", "maximum": -3},
        {"type": ["integer", "null"], "minimum": 1},
        {"type": "number", "exclusiveMaximum": -3},
        {"type": "string", "minLength": 20},
        {"type": "string", "maxLength": 3},
        {"type": "string", "format": "date-time"},
        {"type": "string", "examples": ["A1", "B2"], "pattern": "^[A-Z][0-9]$"},
        {"enum": ["a", None]},
        {"const": 5},
        {"type": "boolean"},
        {},
        {"type": "array", "items": {"type": "integer", "minimum": 2}, "maxItems": 2},
        {"type": "array", "items": {"enum": ["a"]}, "minItems": 6},
    ],
)
def test_made_up_records_fit(fragment: dict[str, Any]) -> None:
    schema = table({"x": fragment, "y": {"type": "integer"}}, required=["x", "y"])
    made = records(schema.signature, 3)
    assert schema.decode(made)[0].rows == 3
    assert made == [made_up(schema.signature, k) for k in range(3)]


@settings(max_examples=150)
@given(
    st.sampled_from(["integer", "number"]),
    st.dictionaries(
        st.sampled_from(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]),
        st.integers(-50, 50) | st.floats(-50, 50),
        max_size=2,
    ),
)
def test_made_up_numbers_keep_to_their_limits(kind: str, limits: dict[str, Any]) -> None:
    low = max(limits.get("minimum", -99), limits.get("exclusiveMinimum", -99))
    high = min(limits.get("maximum", 99), limits.get("exclusiveMaximum", 99))
    assume(high - low > 3)
    schema = table({"x": {"type": kind, **limits}}, required=["x"])
    for variant in range(4):
        assert schema.decode(made_up(schema.signature, variant))[0].rows == 1


@pytest.mark.parametrize(
    "spec",
    [
        TensorSpec("x", "float32", (None, 4)),
        TensorSpec("x", "string", (None,)),
        TensorSpec("x", "uint8", (None, 3, 2)),
        TensorSpec("x", "float32", (None, None)),
        TensorSpec("x", "int64", (2, 3)),
        TensorSpec("x", "bool", ()),
    ],
)
def test_made_up_tensors_fit(spec: TensorSpec) -> None:
    schema = Schema(Signature((spec,), OUT))
    first, second = records(schema.signature, 2)
    assert first != second
    assert schema.decode(first)[0].arrays["x"].ndim == len(spec.shape)


def test_the_declared_examples_come_first() -> None:
    schema = table({"x": {"type": "integer"}}, examples=[{"x": 41}, {"x": 42}])
    assert records(schema.signature, 1) == [{"x": 41}]
    assert records(schema.signature, 3)[:2] == [{"x": 41}, {"x": 42}]
