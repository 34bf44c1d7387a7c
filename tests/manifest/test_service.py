"""`service_schema.json` of the 2018 SDK: what a record is, and how requests may be sent."""

from __future__ import annotations

import base64
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from app import manifest
from app.errors import BadRequest, ModelInvalid, SchemaMismatch
from app.manifest import service
from app.schema import Schema
from tests import models

PEOPLE = {
    "city": {"type": "object"},
    "age": {"type": "integer", "format": "int64"},
    "income": {"type": "number", "format": "double"},
}
ROWS = [{"age": 31, "city": "Bern", "income": 1.5}, {"age": 45, "city": "Rome", "income": None}]


class Bomb:
    """Ends the test when it is unpickled."""

    def __reduce__(self) -> Any:
        return pytest.exit, ("internal was unpickled",)


def item(kind: Any, swagger: Any) -> dict[str, Any]:
    internal = base64.b64encode(pickle.dumps(Bomb())).decode()
    return {"type": kind, "swagger": swagger, "internal": internal, "version": "1.0.33"}


def array(items: Any, example: Any = None) -> dict[str, Any]:
    return {"type": "array", "items": items, **({} if example is None else {"example": example})}


TABLE = {"input_df": item(3, array({"type": "object", "properties": PEOPLE}, ROWS))}
NUMBERS = array(array({"type": "number", "format": "double"}), [[1.0, 2.0, 3.0]])
WHOLE = array(array({"type": "integer", "format": "int64"}), [[1, 2, 3]])


def save(folder: Path, inputs: Any) -> Path:
    return models.save(folder, service.FILE, json.dumps({"input": inputs}).encode())


def frame(folder: Path, inputs: Any = TABLE) -> Schema:
    """Of a model with the columns age, city and income."""
    models.save_sklearn(folder, models.frame_classifier())
    return Schema(models.load(save(folder, inputs)).signature)


def test_a_table_is_declared_with_its_texts_and_the_order_of_its_rows(tmp_path: Path) -> None:
    declared = frame(tmp_path).signature

    assert [(s.name, s.dtype, s.nullable) for s in declared.inputs] == [
        ("age", "int64", False), ("city", "string", False), ("income", "float64", True)
    ]  # fmt: skip
    assert declared.declared is not None
    assert declared.declared["examples"] == ROWS
    assert (declared.input_names, declared.casts) == (("input_df",), False)


def test_a_request_gives_its_table_by_name_or_as_data(tmp_path: Path) -> None:
    schema = frame(tmp_path)
    extra = [{"income": 2, "city": "Bern", "age": 3, "more": 1}]

    for key in ("input_df", "data"):
        call = schema.read(json.dumps({key: extra, "outputs": ["label"]}).encode())
        assert (call.single, call.bare, call.batch.extra_columns) == (False, False, 1)
        assert list(call.batch.arrays) == ["age", "city", "income"]
    assert schema.read(json.dumps({"input_df": json.dumps(extra)}).encode()).batch.rows == 1
    with pytest.raises(SchemaMismatch, match="income"):
        schema.call({"input_df": [{"city": "Bern", "age": 3}]})


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"input_dff": []}, 'unknown key "input_dff"; did you mean "input_df"?'),
        ({"input_df": [], "zzz": 1}, 'unknown key "zzz"; known: input_df, data'),
        ({"data": [], "input_df": []}, "both data and input_df"),
        ({"outputs": ["label"]}, "no data"),
    ],
)
def test_a_key_that_nobody_knows_is_refused(tmp_path: Path, request_: Any, told: str) -> None:
    schema = frame(tmp_path)
    for read in (schema.call, lambda r: schema.read(json.dumps(r).encode())):
        with pytest.raises(BadRequest) as caught:
            read(request_)
        assert told in str(caught.value)


def test_numbers_of_an_array_are_cast_and_its_rows_are_of_one_length(tmp_path: Path) -> None:
    models.identity(tmp_path, TensorProto.INT64, ("N", None))
    schema = Schema(models.load(save(tmp_path, {"input_array": item(1, WHOLE)})).signature)

    batch = schema.call({"input_array": [[1.9, -2.9, True], [4, 5, 6]]}).batch
    assert batch.arrays["x"].tolist() == [[1, -2, 1], [4, 5, 6]]
    assert schema.read(b'{"data": [1.5, 2, 3]}').batch.arrays["x"].tolist() == [[1, 2, 3]]
    deep = orjson.loads("[" * 1000 + "1.5" + "]" * 1000)
    for wrong in (deep, [[1, 2]], [[1, 2, 3], [1, 2]], [["1", 2, 3]], [[1e300, 2, 3]]):
        with pytest.raises(SchemaMismatch):
            schema.call({"input_array": wrong})


def test_several_arrays_go_by_their_names(tmp_path: Path) -> None:
    models.adder(tmp_path)
    schema = Schema(models.load(save(tmp_path, dict.fromkeys("ab", item(1, NUMBERS)))).signature)
    call = schema.call({"a": [[1, 2, 3]], "b": [[4, 5, 6]]})

    assert {name: a.tolist() for name, a in call.batch.arrays.items()} == {
        "a": [[1, 2, 3]], "b": [[4, 5, 6]]
    }  # fmt: skip
    with pytest.raises(BadRequest, match='no "b"; its inputs are a, b'):
        schema.call({"a": [[1, 2, 3]]})


def test_an_input_may_be_called_as_keys_of_every_request_are(tmp_path: Path) -> None:
    models.identity(tmp_path)
    for name, is_bare in (("data", False), ("input_data", True)):
        schema = Schema(models.load(save(tmp_path, {name: item(1, NUMBERS)})).signature)
        assert schema.call({name: [[1, 2, 3]]}).bare is is_bare

    spec = replace(schema.signature.inputs[0], name="data")
    inputs = (spec, replace(spec, name="scale"))
    several = replace(schema.signature, inputs=inputs, input_names=("data", "scale"))
    values = {"data": [[1, 2, 3]], "scale": [[4, 5, 6]]}
    for request in (values, {"data": values}, {"input_data": values}):
        assert Schema(several).call(request).batch.arrays["scale"].tolist() == [[4, 5, 6]]


def test_a_text_is_one_record_and_a_dictionary_tells_nothing(tmp_path: Path) -> None:
    models.save_sklearn(tmp_path, models.text_classifier())
    text = {"text": item(0, {"type": "string", "example": "my house"})}
    schema = Schema(models.load(save(tmp_path, text)).signature)
    assert schema.call({"text": "a car"}).single

    told = {"type": "object", "additionalProperties": {"type": "object"}, "example": {"a": 1}}
    save(tmp_path, {"input_str": item(0, told)})
    derived = models.load(tmp_path).signature
    assert (derived.declared, derived.input_names) == (None, ("input_str",))


def test_schema_json_goes_before_it_and_the_name_still_holds(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {n: {} for n in ("age", "city", "income")}}
    models.save(tmp_path, "schema.json", json.dumps(schema).encode())
    found = frame(tmp_path)

    assert found.signature.declared == schema
    assert found.call({"input_df": ROWS}).batch.rows == 2


def test_a_script_and_what_it_makes_of_the_file_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text("def init(): ...\ndef run(data): ...\n")
    (tmp_path / service.FILE).write_text("{")

    assert manifest.read(tmp_path).service is None


WRONG = {
    "{": "service_schema.json is not JSON",
    "[]": "service_schema.json has no input",
    '{"input": {}}': "service_schema.json has no input",
    '{"input": {"a": 1}}': 'the input "a" has no swagger',
    '{"input": {"a": {"type": 3, "swagger": []}}}': 'the input "a" has no swagger',
    '{"input": {"a": {"type": 9, "swagger": {}}}}': 'the type of "a" is none of 0',
    '{"input": {"a": {"type": true, "swagger": {}}}}': 'the type of "a" is none of 0',
    '{"input": {"a": {"type": 3, "swagger": {}}}}': '"a" must be an array of rows',
    json.dumps({"input": {**TABLE, "b": item(1, NUMBERS)}}): '"input_df" is a table and not the',
}


@pytest.mark.parametrize(("content", "told"), WRONG.items())
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: str, told: str) -> None:
    models.identity(tmp_path)
    (tmp_path / service.FILE).write_text(content)

    with pytest.raises(ModelInvalid) as caught:
        models.load(tmp_path)
    assert told in str(caught.value)


def test_one_that_contradicts_the_model_is_called_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match=r'^service_schema\.json has no property "age".* a sch'):
        frame(tmp_path, {"x": item(3, array({"type": "object", "properties": {"agee": {}}}))})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3)
    | st.sampled_from(["array", "object", "string", "number", "date-time"]),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(
        st.sampled_from(["type", "items", "properties", "example", "enum", "format", "a"]), x
    ), max_leaves=12,
)  # fmt: skip


@given(st.integers(0, 3), JSON, JSON, JSON)
def test_a_malformed_swagger_is_never_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, kind: int, items: Any, example: Any, odd: Any
) -> None:
    folder = tmp_path_factory.mktemp("odd", numbered=True)
    for swagger in (odd, {"type": "array", "items": items, "example": example}):
        save(folder, {"x": item(kind, swagger)})
        try:
            found = service.read(folder / service.FILE)
        except ModelInvalid:
            continue
        assert found.names == ("x",)


def test_an_answer_is_as_that_of_data(tmp_path: Path) -> None:
    models.save_sklearn(save(tmp_path, TABLE), models.frame_classifier())
    model = models.load(tmp_path)
    schema = Schema(model.signature)
    calls = [schema.call({key: ROWS[:1]}) for key in ("input_df", "data")]

    one, other = (model.predict(call.batch, ("label",))["label"] for call in calls)
    np.testing.assert_array_equal(one, other)
