"""`app.schema.declared` and `fragment`: JSON Schema of one record <-> signature."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import ModelInvalid
from app.schema import Schema
from app.schema.declared import declare, json_schema
from app.tensors import Signature, TensorSpec

OUT = (TensorSpec("label", "int64", (None,)),)


def model(*inputs: tuple[str, str, tuple[int | None, ...]]) -> Signature:
    return Signature(tuple(TensorSpec(*one) for one in inputs), OUT, result="label")


def column(base: str, fragment: Any, **more: Any) -> TensorSpec:
    document = {"type": "object", "properties": {"x": fragment}, "required": ["x"], **more}
    return declare(model(("x", base, (None,))), document).inputs[0]


@pytest.mark.parametrize(
    ("base", "fragment", "dtype", "nullable"),
    [
        ("any", {"type": "number"}, "float64", False),
        ("any", {"type": ["number", "null"]}, "float64", True),
        ("any", {"type": ["integer", "number"]}, "float64", False),
        ("any", {"type": "integer"}, "int64", False),
        ("any", {"type": ["integer", "null"]}, "float64", True),
        ("any", {"type": "boolean"}, "bool", False),
        ("any", {"type": "string"}, "string", False),
        ("any", {"type": "string", "format": "date-time"}, "datetime", False),
        ("any", {"enum": ["a", None]}, "string", True),
        ("any", {"enum": [1, 2.5]}, "float64", False),
        ("any", {"const": True}, "bool", False),
        ("any", {"type": ["number", "string"]}, "any", False),
        ("any", {}, "any", True),
        ("any", True, "any", True),
        ("float32", {"type": "number"}, "float32", False),
        ("float32", {"type": "integer"}, "int64", False),
        ("float32", {"type": ["integer", "null"]}, "float32", True),
        ("float16", {"type": "integer"}, "float16", False),
        ("float32", {"description": "?"}, "float32", True),
        ("int32", {"type": "integer"}, "int32", False),
        ("uint8", {"type": "integer"}, "uint8", False),
        ("uint64", {"type": "integer"}, "uint64", False),
        ("int64", {"type": "number"}, "int64", False),
        ("int64", {"minimum": 0}, "int64", False),
        ("bool", {"type": "integer"}, "bool", False),
        ("string", {"minLength": 1}, "string", False),
        ("string", {"type": "string", "format": "date-time"}, "string", False),
        ("float64", {"type": "string", "format": "date-time"}, "datetime", False),
    ],
)
def test_a_column_is_what_model_and_schema_both_allow(
    base: str, fragment: Any, dtype: str, nullable: bool
) -> None:
    spec = column(base, fragment)
    assert (spec.dtype, spec.nullable, spec.shape) == (dtype, nullable, (None,))


@pytest.mark.parametrize(
    ("base", "fragment", "words"),
    [
        ("float32", {"type": "string"}, 'takes numbers as "x", schema.json says text'),
        ("int64", {"type": "string", "format": "date-time"}, 'takes integers as "x"'),
        ("bool", {"enum": ["a"]}, 'takes true or false as "x"'),
        ("string", {"type": "number"}, 'takes text as "x"'),
        ("int64", {"type": ["integer", "null"]}, 'takes no null as "x"'),
        ("string", {"type": ["string", "null"]}, 'takes no null as "x"'),
        ("float64", {"type": "object"}, "the model takes no objects"),
        ("any", False, "takes no value"),
        ("float32", {"type": "array", "items": {"type": "number"}}, 'the shape of "x"'),
        ("any", {"$ref": "#/$defs/a"}, "leads in a circle"),
        ("any", {"$ref": "#/$defs/tree"}, "nested without end"),
        ("any", {"$ref": "#/$defs/nothing"}, "does not exist"),
        ("any", {"$ref": "#/title"}, "schema.json"),
        ("any", {"type": "integer", "default": 1.5}, 'the default of "x" does not fit'),
        ("any", {"type": "integer", "default": 1, "minimum": 2}, "expected at least 2"),
        ("any", {"type": "number", "default": float("nan")}, 'the default of "x"'),
    ],
)
def test_a_schema_that_contradicts_the_model_or_itself_is_refused(
    base: str, fragment: Any, words: str
) -> None:
    loops = {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"},
             "tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}  # fmt: skip
    document = {"title": "T", "properties": {"x": fragment}, "$defs": loops}
    with pytest.raises(ModelInvalid) as caught:
        Schema(declare(model(("x", base, (None,))), document))
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"properties": {"agee": {}}}, 'has no property "age", which the model takes; did you'),
        ({"properties": {}}, "at least one column"),
        ({"type": "object"}, "at least one column"),
        ({"properties": {"age": {}, "pay": {}}, "required": ["agee"]}, 'by "age"?'),
        ({"type": "array"}, "must be an object with properties for age, pay"),
        ({"properties": 3}, "no JSON Schema"),
        ({"properties": {"age": {"pattern": "("}, "pay": {}}}, "no JSON Schema"),
        ({"required": "age"}, "no JSON Schema"),
        ({"$schema": "http://example.com/mine"}, "no JSON Schema"),
    ],
)
def test_a_schema_must_name_what_the_model_takes(document: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelInvalid) as caught:
        declare(model(("age", "any", (None,)), ("pay", "any", (None,))), document)
    assert words in caught.value.message


def test_an_array_model_may_have_its_columns_named() -> None:
    properties = {n: {"type": "number"} for n in "abc"}
    signature = declare(model(("x", "float32", (None, 3))), {"properties": properties})
    assert [(s.name, s.dtype, s.shape) for s in signature.inputs] == [
        (n, "float32", (None,)) for n in "abc"
    ]
    batch, _ = Schema(signature).decode({"c": 3, "a": 1, "b": 2})
    assert batch.matrix(list(batch.arrays), "float32").tolist() == [[1, 2, 3]]
    with pytest.raises(ModelInvalid, match="3 properties, the model takes 4 columns"):
        declare(model(("x", "float32", (None, 4))), {"properties": properties})


@pytest.mark.parametrize(
    ("base", "document", "shape"),
    [
        ((None, None), {"type": "array", "minItems": 4, "maxItems": 4}, (None, 4)),
        ((None, 4), {"type": "array", "items": {"type": "number"}}, (None, 4)),
        ((None, 1), {"type": "number"}, (None, 1)),
        ((None, 1), {"type": "array", "minItems": 1, "maxItems": 1}, (None, 1)),
        ((2, None), {"type": "array", "items": {"type": "array", "items": {}}}, (2, None)),
        ((None,), {"$ref": "#/$defs/n", "$defs": {"n": {"type": "number"}}}, (None,)),
    ],
)
def test_a_tensor_model_may_be_declared_by_nested_arrays(
    base: tuple[int | None, ...], document: dict[str, Any], shape: tuple[int | None, ...]
) -> None:
    spec = declare(model(("x", "float32", base)), document).inputs[0]
    assert (spec.dtype, spec.shape) == ("float32", shape)


@pytest.mark.parametrize("document", [{"type": "number"}, {"type": "array", "minItems": 3,
                                                           "maxItems": 3}])  # fmt: skip
def test_a_tensor_of_another_shape_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ModelInvalid, match="disagree on the shape"):
        declare(model(("x", "float32", (None, 4))), document)


@pytest.mark.parametrize(
    ("document", "data", "names"),
    [
        ({"properties": {"a": {"type": "number"}, "b": {"type": "string"}}}, [1, "x"], "ab"),
        ({"properties": {"a": {"type": "array", "items": {"type": "number"}}}}, [1, 2], "a"),
        ({"type": "array", "items": {"type": "number"}}, [1, 2], ["input"]),
        ({"type": "string"}, "words", ["input"]),
    ],
)
def test_a_model_that_tells_nothing_is_as_its_schema_says(
    document: dict[str, Any], data: Any, names: Any
) -> None:
    batch, single = Schema(declare(model(), document)).decode(data)
    assert (list(batch.arrays), single) == (list(names), True)


def test_a_model_that_tells_nothing_takes_null_for_an_integer_where_its_schema_does() -> None:
    nullable = {"type": ["integer", "null"]}
    for document, data in (({"properties": {"a": nullable}}, [{"a": 1}, {"a": None}]),
                           (nullable, [1, None])):  # fmt: skip
        batch, _ = Schema(declare(model(), document)).decode(data)
        (array,) = batch.arrays.values()
        np.testing.assert_array_equal(array, [1.0, np.nan])


def test_columns_that_may_be_absent_take_their_default_or_null() -> None:
    properties = {
        "a": {"type": "integer", "default": 7},
        "b": {"type": ["number", "null"]},
        "c": {"type": "array", "items": {"type": "number"}, "default": [1, 2]},
        "d": {"type": "string"},
    }
    schema = Schema(declare(model(), {"properties": properties, "required": ["d"]}))
    batch, _ = schema.decode([{"d": "x"}, {"d": "y", "a": 1, "b": 2, "c": [3, 4]}])
    assert batch.arrays["a"].tolist() == [7, 1]
    np.testing.assert_array_equal(batch.arrays["b"], [np.nan, 2])
    assert batch.arrays["c"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "signature",
    [
        model(("x", "float32", (None, 4))),
        model(("x", "string", (None,))),
        model(("x", "uint8", (None, 3, 2))),
        model(("x", "int64", (None, 1)), ("t", "datetime", (None,)), ("b", "bool", (None,))),
        model(("x", "float64", (2, None))),
        model(("x", "uint64", (None,)), ("y", "any", (None,))),
    ],
)
def test_what_is_derived_declares_itself_again(signature: Signature) -> None:
    again = declare(signature, json_schema(signature))
    assert [(s.name, s.dtype, s.shape) for s in again.inputs] == [
        (s.name, s.dtype, s.shape) for s in signature.inputs
    ]
    assert json_schema(again) == json_schema(signature)


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
    | st.sampled_from(["number", "string", "object", "array", "null", "#/$defs/a", "#/properties",
                       "#/properties/x", "#", "(", "\ud800", "http://e.org/", "date-time", "x"])
)  # fmt: skip
KEYS = st.sampled_from(
    ["type", "properties", "required", "enum", "const", "items", "$ref", "$defs", "a", "x", "anyOf",
     "allOf", "oneOf", "not", "if", "then", "minItems", "maxItems", "minimum", "pattern", "default",
     "examples", "additionalProperties", "$schema", "$id", "format", "minLength", "definitions"]
)  # fmt: skip
SCHEMAS = st.recursive(
    LEAVES, lambda x: st.lists(x, max_size=3) | st.dictionaries(KEYS, x, max_size=4), max_leaves=12
)
FRAGMENTS = st.recursive(
    st.sampled_from([True, False, {}, {"type": "null"}, {"$ref": "#/$defs/a"}, {"enum": [1, "a"]},
                     {"type": ["integer", "null"]}, {"$ref": "#/properties/x"}, {"const": None}]),
    lambda x: st.fixed_dictionaries({}, optional={
        "type": st.sampled_from(["array", "number", "string", ["array", "null"], "object"]),
        "items": x, "anyOf": st.lists(x, min_size=1, max_size=2), "not": x,
        "allOf": st.lists(x, min_size=1, max_size=2), "default": LEAVES,
        "minItems": st.integers(0, 3), "maxItems": st.integers(0, 3),
        "minLength": st.integers(0, 3), "enum": st.lists(LEAVES, max_size=3),
        "examples": st.lists(LEAVES, max_size=2)}),
    max_leaves=6,
)  # fmt: skip
MODELS = st.sampled_from(
    [
        model(),
        model(("x", "float32", (None, 2))),
        model(("x", "string", (None,))),
        model(("x", "any", (None,)), ("a", "int64", (None,))),
        model(("x", "int64", (2, 3))),
    ]
)


@settings(max_examples=400)
@given(
    MODELS,
    st.dictionaries(KEYS, SCHEMAS, max_size=5)
    | st.fixed_dictionaries(
        {"properties": st.fixed_dictionaries({"x": FRAGMENTS}, optional={"a": FRAGMENTS})},
        optional={"$defs": st.fixed_dictionaries({"a": FRAGMENTS}), "if": FRAGMENTS},
    )
    | FRAGMENTS.filter(lambda f: isinstance(f, dict)),
)
def test_a_malformed_schema_is_never_a_traceback(
    signature: Signature, document: dict[str, Any]
) -> None:
    try:
        schema = Schema(declare(signature, document))
    except ModelInvalid:
        pass  # the only way to refuse it
    else:
        assert schema.signature.declared is not None
        assert schema.signature.inputs
