"""`app.schema.constraints`: JSON Schema's keywords beyond types, and rules across columns."""

from typing import Any

import pytest

from app.errors import ModelInvalid, SchemaMismatch
from app.schema import Schema
from app.schema.constraints import compiled
from app.schema.declared import declare
from app.tensors import Signature, TensorSpec

OUT = (TensorSpec("label", "int64", (None,)),)


def table(properties: dict[str, Any], **more: Any) -> Schema:
    inputs = tuple(TensorSpec(name, "any", (None,)) for name in properties)
    document = {"type": "object", "properties": properties, "required": list(properties)}
    return Schema(declare(Signature(inputs, OUT, result="label"), {**document, **more}))


def faults(schema: Schema, data: Any) -> list[tuple[int | None, Any, str, str]]:
    with pytest.raises(SchemaMismatch) as caught:
        schema.decode(data)
    return [(f.row, f.column, f.expected, f.got) for f in caught.value.faults]


@pytest.mark.parametrize(
    ("fragment", "good", "bad", "expected", "got"),
    [
        ({"enum": ["a", "b"]}, "a", "c", 'one of "a", "b"', "a string not among them"),
        ({"enum": [1, 2.5]}, True, 3, "one of 1, 2.5", "an integer not among them"),
        ({"const": 3}, 3.0, 4, "one of 3", "an integer not among them"),
        ({"type": "number", "minimum": 0.5}, 0.5, 0, "at least 0.5", "an integer out of range"),
        ({"type": "number", "maximum": 1}, 1, 1.5, "at most 1", "a number out of range"),
        ({"type": "number", "exclusiveMinimum": 0}, 1, 0, "more than 0", "an integer out of range"),
        ({"type": "number", "exclusiveMaximum": 9}, 8, 9, "less than 9", "an integer out of range"),
        ({"type": "integer", "multipleOf": 5}, 10, 4, "a multiple of 5", "an integer out of range"),
        ({"type": "string", "minLength": 2}, "ab", "a", "a string of at least 2 characters",
         "a shorter one"),
        ({"type": "string", "maxLength": 2}, "ab", "abc", "a string of at most 2 characters",
         "a longer one"),
        ({"type": "string", "pattern": "^[A-Z]+$"}, "AB", "ab",
         "a string that matches the pattern", "a string that does not"),
        ({"type": ["string", "number"]}, 1, True, "a number or a string", "a boolean"),
        ({"type": "integer", "not": {"const": 7}}, 6, 7, "a value that not allows",
         "an integer that it does not"),
        ({"anyOf": [{"type": "string"}, {"minimum": 3}]}, "a", 2, "a value that anyOf allows",
         "an integer that it does not"),
        ({"type": "boolean", "const": True}, 1, 0, "one of true", "a boolean not among them"),
    ],
)  # fmt: skip
def test_each_keyword_is_checked_in_words_of_its_own(
    fragment: dict[str, Any], good: Any, bad: Any, expected: str, got: str
) -> None:
    schema = table({"x": fragment, "y": {"type": "integer"}})
    assert schema.decode([{"x": good, "y": 1}])[0].rows == 1
    assert faults(schema, [{"x": good, "y": 1}, {"x": bad, "y": 1}]) == [(1, "x", expected, got)]
    assert faults(schema, {"x": bad, "y": 1}) == [(None, "x", expected, got)]


@pytest.mark.parametrize(
    "fragment",
    [
        {"type": ["string", "null"], "enum": ["a", "b", None]},
        {"anyOf": [{"type": "string", "enum": ["a", "b"]}, {"type": "null"}]},
        {"oneOf": [{"type": "null"}, {"enum": ["a", "b"]}]},
        {"anyOf": [{"const": "a"}, {"type": "null"}], "default": None},
        {"anyOf": [{"$ref": "#/$defs/Letter"}, {"type": "null"}]},
        {"allOf": [{"$ref": "#/definitions/MaybeLetter"}]},
    ],
)
def test_null_may_be_one_more_category(fragment: dict[str, Any]) -> None:
    schema = table(
        {"x": fragment},
        definitions={"MaybeLetter": {"type": ["string", "null"], "enum": ["a", None]}},
        **{"$defs": {"Letter": {"enum": ["a", "b"], "type": "string"}}},
    )
    assert schema.decode([{"x": None}, {"x": "a"}])[0].arrays["x"].tolist() == [None, "a"]
    assert "not among them" in faults(schema, [{"x": "c"}])[0][3]


def test_faults_of_type_and_of_range_are_told_at_once_even_in_one_column() -> None:
    schema = table({"x": {"type": "integer", "minimum": 0}, "y": {"type": "string"}})
    data = [{"x": -1, "y": "a"}, {"x": "b", "y": "a"}, {"x": 1, "y": 2}, {"x": -3, "y": "a"}]
    assert [(row, column) for row, column, *_ in faults(schema, data)] == [
        (0, "x"), (1, "x"), (2, "y"), (3, "x"),
    ]  # fmt: skip


def test_a_column_that_may_be_absent_is_checked_where_it_is_there() -> None:
    schema = table({"x": {"enum": ["a", "b"], "default": "a"}, "y": {}}, required=["y"])
    batch, _ = schema.decode([{"y": 1}, {"x": "b", "y": 1}])
    assert batch.arrays["x"].tolist() == ["a", "b"]
    assert faults(schema, [{"y": 1}, {"x": "a", "y": 1}, {"x": "c", "y": 1}])[0][:2] == (2, "x")


def test_an_absent_nullable_column_is_null_whatever_its_enum_says() -> None:
    schema = table({"x": {"type": ["string", "null"], "enum": ["a"]}, "y": {}}, required=["y"])
    assert schema.decode([{"y": 1}])[0].arrays["x"].tolist() == [None]


@pytest.mark.parametrize(
    ("rule", "good", "bad", "fault"),
    [
        (
            {"dependentRequired": {"x": ["y"]}},
            [{"x": 1, "y": 2}, {}],
            [{}, {"x": 1}],
            (1, "y", "a value here", "nothing"),
        ),
        (
            {"if": {"properties": {"x": {"const": 1}}, "required": ["x"]},
             "then": {"properties": {"y": {"minimum": 5}}}},
            [{"x": 1, "y": 5}, {"x": 2, "y": 1}],
            [{"x": 2, "y": 1}, {"x": True, "y": 1}],
            (1, "y", "at least 5 here", "an integer out of range"),
        ),
        (
            {"not": {"required": ["x", "y"]}},
            [{"x": 1}, {"y": 1}],
            [{"x": 1, "y": 1}],
            (0, None, "a record that not allows", "one that it does not"),
        ),
    ],
)  # fmt: skip
def test_rules_across_columns_look_at_whole_records(
    rule: dict[str, Any], good: Any, bad: Any, fault: tuple[Any, ...]
) -> None:
    column = {"type": ["integer", "null"]}
    schema = table({"x": column, "y": column}, required=[], **rule)
    assert schema.decode(good)[0].rows == 2
    assert faults(schema, bad) == [fault]
    assert faults(schema, bad[-1])[0][0] is None


def test_the_faults_of_a_whole_batch_are_20_at_most() -> None:
    number = {"type": "integer", "minimum": 0}
    schema = table({"x": number, "y": number}, **{"not": {"properties": {"x": {"const": 5}}}})
    assert len(faults(schema, [{"x": -1, "y": "a"}] * 50)) == 20
    assert len(faults(schema, [{"x": "a", "y": "a"}] * 50)) == 20
    assert len(faults(schema, [{"x": 5, "y": 1}] * 50)) == 20


def test_rules_reach_into_the_values_of_an_array() -> None:
    spec = TensorSpec("x", "float32", (None, 3))
    document = {"type": "array", "items": {"type": "number", "minimum": 0}, "uniqueItems": True}
    schema = Schema(declare(Signature((spec,), OUT, result="label"), document))
    fault = (1, 2, "at least 0", "an integer out of range")
    assert faults(schema, [[1, 2, 3], [1, 2, -3]]) == [fault]
    assert faults(schema, [[1, 1, 3]])[0][:3] == (0, None, "a value that uniqueItems allows")


@pytest.mark.parametrize(
    "rules",
    [
        {"pattern": "("},
        {"type": "nope"},
        {"$ref": "#/$defs/nothing"},
        {"$ref": "http://example.com/schema.json"},
        {"enum": ["\ud800"]},
        {"minimum": float("nan")},
    ],
)
def test_rules_that_are_no_json_schema_are_the_models_fault(rules: dict[str, Any]) -> None:
    with pytest.raises(ModelInvalid, match=r"schema\.json is no JSON Schema"):
        compiled(rules)
    spec = TensorSpec("x", "any", (None,), constraints=rules)
    with pytest.raises(ModelInvalid):
        Schema(Signature((spec,), OUT, result="label"))


def test_nothing_is_fetched_for_a_schema() -> None:
    with pytest.raises(ModelInvalid, match="disabled"):
        compiled({"$ref": "http://example.com/schema.json"})
