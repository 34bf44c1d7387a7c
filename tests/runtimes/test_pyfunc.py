"""Custom pyfuncs, by mlflow itself."""

from __future__ import annotations

import base64
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import golden
from app.errors import ModelInvalid, SchemaMismatch
from app.schema import Schema
from app.schema.examples import records
from app.schema.results import plain, results
from app.tensors import Batch
from tests import models
from tests.models import ROWS

RECORD = {
    "boolean": True,
    "integer": 1,
    "long": 2**40,
    "float": 0.5,
    "double": 0.25,
    "string": "a",
    "datetime": "2024-05-06T07:08:09Z",
    "raw": base64.b64encode(b"\x00\x01").decode(),
    "many": [1.0, 2.0],
}


def answer(folder: Path, request: Any) -> Any:
    """`results` as a client reads them."""
    model = models.load(folder)
    schema = Schema(model.signature)
    call = schema.call(request)
    return plain(results(model.predict(call.batch, schema.wanted(call)), call, model.signature))


def test_columns_reach_the_model_with_the_types_of_its_signature(saved: Path) -> None:
    (found,) = answer(saved / "pyfunc_frame", {"data": [RECORD]})

    text = found["string"]
    assert text in ("object", "str")
    assert found == {
        "boolean": "bool",
        "integer": "int32",
        "long": "int64",
        "float": "float32",
        "double": "float64",
        "string": text,
        "datetime": "datetime64[ns]",
        "raw": "bytes",
        "many": found["many"],
        **{"times": 2, "words": ["a"], "scale": 1.0},
    }
    assert found["many"] in ("list", "ndarray")


def test_a_column_that_may_lack_is_there_when_it_is_sent(saved: Path) -> None:
    (found,) = answer(saved / "pyfunc_frame", {"data": [RECORD | {"maybe": 1.5}]})

    assert found["maybe"] == "float64"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"integer": 2**31}, 'column "integer": expected at most 2147483647'),
        ({"long": 0.5}, 'column "long": expected an integer'),
        ({"boolean": "yes"}, 'column "boolean": expected true or false'),
        ({"datetime": "soon"}, r'column "datetime": expected a date-time \(RFC 3339\)'),
        ({"raw": "no base64!"}, 'column "raw": expected a string that matches the pattern'),
        ({"many": ["a"]}, r'column "many": expected a number.*, got a string at \[0\]'),
    ],
)
def test_a_payload_that_does_not_fit_never_reaches_the_model(
    saved: Path, change: Any, told: str
) -> None:
    with pytest.raises(SchemaMismatch, match=told):
        answer(saved / "pyfunc_frame", {"data": [RECORD | change]})


CHAT = {
    "message": {"role": "user", "tokens": 3},
    "history": [{"role": "system"}, {"role": "user", "tokens": 1}],
    "scores": {"a": 1.5, "b": 2},
}


def test_objects_and_maps_reach_the_model(saved: Path) -> None:
    assert answer(saved / "pyfunc_objects", {"data": [CHAT, CHAT]}) == [CHAT, CHAT]
    assert answer(saved / "pyfunc_objects", {"data": CHAT}) == CHAT


def test_objects_are_made_up_for_the_check_at_load(saved: Path) -> None:
    model = models.load(saved / "pyfunc_objects")

    assert records(model.signature, 1) == [
        {"message": {"role": "a text"}, "history": [{"role": "a text"}] * 4, "scores": {}}
    ]
    assert golden.check(model, Schema(model.signature), None).checked == "made-up rows: 2"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"message": "hello"}, 'column "message": expected an object, got a string'),
        ({"message": {}}, 'column "message": .* required'),
        ({"message": {"role": 1}}, 'column "message": expected a string, got .* at .role'),
        ({"history": {"role": "a"}}, 'column "history": expected a list'),
        ({"scores": {"a": "b"}}, 'column "scores": expected null or a number, got'),
    ],
)
def test_objects_that_do_not_fit_never_reach_the_model(saved: Path, change: Any, told: str) -> None:
    with pytest.raises(SchemaMismatch, match=told):
        answer(saved / "pyfunc_objects", {"data": [CHAT | change]})


def test_params_reach_the_model_and_the_rest_are_its_defaults(saved: Path) -> None:
    params = {"times": 3, "words": ["x", "y"]}
    (found,) = answer(saved / "pyfunc_frame", {"data": [RECORD], "params": params})
    assert {name: found[name] for name in ("times", "words", "scale")} == {**params, "scale": 1.0}

    (found,) = answer(saved / "pyfunc_frame", {"data": [RECORD], "params": {"scale": 2}})
    assert (found["times"], found["words"], found["scale"]) == (2, ["a"], 2.0)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"times": "often"}, 'column "params.times": expected an integer, got a string'),
        ({"words": "a"}, r'column "params.words": expected a list .*, got a string'),
        ({"time": 3}, "got an unknown one: time"),
        ([3], "params must be an object, got a list"),
    ],
)
def test_params_that_do_not_fit_are_refused(saved: Path, params: Any, told: str) -> None:
    with pytest.raises(SchemaMismatch, match=told):
        answer(saved / "pyfunc_frame", {"data": [RECORD], "params": params})


def test_a_model_without_params_takes_none(saved: Path) -> None:
    with pytest.raises(SchemaMismatch, match="this model takes no params"):
        answer(saved / "pyfunc_sum", {"data": {"a": 1, "b": 2}, "params": {"times": 3}})


def test_only_calls_with_equal_params_are_joined(saved: Path) -> None:
    schema = Schema(models.load(saved / "pyfunc_frame").signature)
    asked = [{"times": 1}, {"times": 1}, {"times": 2}, {}]
    batches = [schema.call({"data": [RECORD], "params": params}).batch for params in asked]
    keys = [batch.row_key() for batch in batches]

    assert keys[0] == keys[1]
    assert len({*keys}) == 3
    joint: Any = Batch.join(batches[:2])
    assert (joint.rows, joint.params) == (2, {"times": 1})
    assert joint.row_key() == keys[0]


def test_a_sum_is_a_number_per_row_whose_calls_may_be_joined(saved: Path) -> None:
    model = models.load(saved / "pyfunc_sum")
    found = models.predict(model, ROWS.tolist())["predictions"]

    np.testing.assert_array_equal(found, ROWS.sum(axis=1))
    assert golden.check(model, Schema(model.signature), None).joinable


def test_tensors_come_as_arrays_of_their_type(saved: Path) -> None:
    rows = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    found = models.result(saved / "pyfunc_tensor", rows.tolist())

    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, rows * 2)


def test_a_list_comes_where_type_hints_say_so(saved: Path) -> None:
    assert answer(saved / "pyfunc_hints", {"data": ["a", "bcd"]}) == [1, 3]
    assert answer(saved / "pyfunc_hints", {"data": "abc"}) == 3


def test_without_a_signature_a_schema_is_asked_for(saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved / "pyfunc_unsigned", tmp_path / "model")
    with pytest.raises(ModelInvalid, match=r"MLmodel has no signature.* or add a schema\.json"):
        models.load(folder)

    models.save(folder, "schema.json", b'{"properties": {"a": {"type": "number"}}}')
    assert models.result(folder, {"a": [1, 2.5]}).tolist() == [1.0, 2.5]


def test_without_mlflow_the_extra_is_named(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mlflow", None)

    with pytest.raises(ModelInvalid, match=r"needs mlflow, .* install aml-serve\[mlflow\]$"):
        models.load(saved / "pyfunc_sum")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"cnowhere\nThing\n(tR.", "the pyfunc needs the module 'nowhere'"),
        (b"csys\nexit\n(I3\ntR.", "the pyfunc raised SystemExit while it was loaded"),
        (b"broken", "the pyfunc raised UnpicklingError while it was loaded"),
    ],
)
def test_a_pyfunc_that_cannot_be_loaded_is_refused(
    saved: Path, tmp_path: Path, content: bytes, told: str
) -> None:
    folder = shutil.copytree(saved / "pyfunc_sum", tmp_path / "model")
    models.save(folder, "python_model.pkl", content)

    with pytest.raises(ModelInvalid, match=told):
        models.load(folder)
