"""`app.schema.dialect`: JSON Schema as Swagger 2, OpenAPI 3.0 and 3.1 write it."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from app.schema.dialect import Dialect

VERSIONS = ("2", "3", "3.1")


def said(version: str, schema: Any, root: Any = None) -> Any:
    return Dialect(version, root or {}, "Part.").of(schema)


SAME = {
    "type": "object",
    "properties": {"a": {"type": "string", "minLength": 1}},
    "required": ["a"],
}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_all_have_words_for_stays_as_it_is(version: str) -> None:
    assert said(version, SAME) == SAME


@pytest.mark.parametrize(
    ("schema", "two", "three"),
    [
        (
            {"type": ["number", "null"]},
            {"type": "number", "x-nullable": True},
            {"type": "number", "nullable": True},
        ),
        ({"type": ["integer", "number"]}, {"type": "number"}, {"type": "number"}),
        ({"type": ["integer", "string"]}, {}, {}),
        ({"type": "null"}, {"x-nullable": True}, {"nullable": True}),
        ({"const": "a"}, {"enum": ["a"]}, {"enum": ["a"]}),
        ({"examples": [1, 2]}, {"example": 1}, {"example": 1}),
        (
            {"exclusiveMinimum": 0, "minimum": -1},
            {"minimum": 0, "exclusiveMinimum": True},
            {"minimum": 0, "exclusiveMinimum": True},
        ),
        ({"exclusiveMaximum": 9, "maximum": 5}, {"maximum": 5}, {"maximum": 5}),
        ({"type": "array"}, {"type": "array", "items": {}}, {"type": "array", "items": {}}),
        (
            {"type": "array", "items": True},
            {"type": "array", "items": {}},
            {"type": "array", "items": {}},
        ),
        (
            {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "title": "n"},
            {"type": "integer", "minimum": 1, "title": "n", "x-nullable": True},
            {"type": "integer", "minimum": 1, "title": "n", "nullable": True},
        ),
        (
            {"oneOf": [{"type": "integer"}, {"type": "string"}]},
            {},
            {"oneOf": [{"type": "integer"}, {"type": "string"}]},
        ),
        (
            {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
            {"x-nullable": True},
            {"anyOf": [{"type": "integer"}, {"type": "string"}], "nullable": True},
        ),
        ({"not": {"const": 1}}, {}, {"not": {"enum": [1]}}),
        ({"required": [], "additionalProperties": False}, *[{"additionalProperties": False}] * 2),
        ({"if": {}, "then": {}, "patternProperties": {"^a": {}}}, {}, {}),
        ({"$id": "a", "$schema": "b", "$defs": {}}, {}, {}),
        (False, {}, {"not": {}}),
    ],
)
def test_the_older_two_say_it_in_their_own_words(schema: Any, two: Any, three: Any) -> None:
    assert said("2", schema) == two
    assert said("3", schema) == three


def test_openapi_3_1_takes_everything_but_names_of_its_own() -> None:
    schema = {
        **SAME,
        "patternProperties": {"^b": {"type": ["null", "integer"]}},
        "if": {"properties": {"a": {"const": "x"}}},
        "then": {"minProperties": 2},
        "examples": [{"a": "b"}],
        "enum": [{"$ref": "no reference"}],
    }

    assert said("3.1", {**schema, "$id": "https://a.example/b", "$defs": {"c": {}}}) == schema


@pytest.mark.parametrize("version", VERSIONS)
def test_the_words_of_older_drafts_are_mended(version: str) -> None:
    older = {"items": [{}], "minimum": 3, "exclusiveMinimum": True, "exclusiveMaximum": False}
    newer = (
        {"exclusiveMinimum": 3} if version == "3.1" else {"minimum": 3, "exclusiveMinimum": True}
    )

    assert said(version, older) == newer


ROOT = {
    "$defs": {
        "City": {"enum": ["Bern", "Rome"]},
        "Tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}}},
        "a b": {"properties": {"City": {"type": "string"}}},
    }
}
PLACES = {"2": "#/definitions/", "3": "#/components/schemas/", "3.1": "#/components/schemas/"}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_reference_leads_to_comes_once_also_in_a_circle(version: str) -> None:
    dialect = Dialect(version, ROOT, "Part.")
    tree = {"$ref": f"{PLACES[version]}Part.Tree"}

    assert [dialect.of({"$ref": "#/$defs/Tree"}) for _ in range(2)] == [tree, tree]
    assert dialect.parts() == {"Part.Tree": {"type": "object", "properties": {"left": tree}}}


@pytest.mark.parametrize("version", VERSIONS)
def test_parts_have_names_of_their_own_that_every_version_takes(version: str) -> None:
    dialect = Dialect(version, ROOT, "Part.")
    for pointer in ("#/$defs/City", "#/$defs/a b", "#/$defs/a b/properties/City"):
        dialect.of({"$ref": pointer})

    assert list(dialect.parts()) == ["Part.City", "Part.a_b", "Part.City_"]


@pytest.mark.parametrize("pointer", ["#/$defs/nothing", "https://a.example/b", "#", "#a"])
def test_a_reference_that_leads_nowhere_takes_anything(pointer: str) -> None:
    dialect = Dialect("2", ROOT, "Part.")

    assert dialect.of({"$ref": pointer}) == {}
    assert dialect.parts() == {}


def test_what_stands_beside_a_reference_is_kept() -> None:
    beside = {"$ref": "#/$defs/City", "description": "where"}
    optional = {"anyOf": [{"$ref": "#/$defs/City"}, {"type": "null"}]}
    reference = {"$ref": "#/definitions/Part.City"}

    assert said("2", beside, ROOT) == {"description": "where", "allOf": [reference]}
    assert said("2", optional, ROOT) == {"allOf": [reference], "x-nullable": True}


def test_definitions_that_refer_to_each_other_many_times_stay_few() -> None:
    part = {f"p{i}": {"$ref": "#/$defs/part"} for i in range(30)}
    defs = {
        f"d{n}": {"properties": {"a": {"$ref": f"#/$defs/d{n + 1}"}, **part}} for n in range(500)
    }
    dialect = Dialect("3", {"$defs": {**defs, "part": {}, "d500": {}}}, "")
    dialect.of({"$ref": "#/$defs/d0"})

    assert len(dialect.parts()) == 502


@pytest.mark.parametrize("schema", [SAME, {"anyOf": [SAME, {"type": "null"}]}, {"not": SAME}])
def test_what_comes_out_for_3_1_is_json_schema(schema: Any) -> None:
    assert jsonschema_rs.meta.is_valid(said("3.1", schema))
