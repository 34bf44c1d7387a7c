"""What a request says to a model beside its rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.errors import SchemaMismatch
from app.schema import Schema
from app.tensors import Batch, BatchWithParams, Signature, TensorSpec

PARAMS = (
    TensorSpec("times", "int64", (None,), required=False),
    TensorSpec("words", "string", (None, None), required=False),
    TensorSpec("at", "datetime", (None,), required=False),
    TensorSpec("is_fast", "bool", (None,), required=False),
)
INPUTS = (TensorSpec("x", "float64", (None, 2)),)
TAKES = Schema(Signature(INPUTS, (), params=PARAMS))
TAKES_NONE = Schema(Signature(INPUTS, ()))


def call(params: Any, schema: Schema = TAKES) -> Any:
    return schema.call({"data": [[1, 2], [3, 4]], "params": params}).batch


def test_they_come_with_the_batch_by_their_types() -> None:
    found = call({"times": 2.0, "words": ["a", "b"], "at": "2024-01-02", "is_fast": 1})

    assert isinstance(found, BatchWithParams)
    assert found.rows == 2
    assert found.params == {
        "times": 2,
        "words": ["a", "b"],
        "at": np.datetime64("2024-01-02", "us"),
        "is_fast": True,
    }
    assert type(found.params["times"]) is int


@pytest.mark.parametrize("schema", [TAKES, TAKES_NONE])
@pytest.mark.parametrize("params", [None, {}, []])
def test_none_are_none(schema: Schema, params: Any) -> None:
    assert type(call(params, schema)) is Batch


def test_a_body_with_params_is_read_as_one_without() -> None:
    found = TAKES.read(b'{"params": {"times": 3}, "data": [1, 2]}')

    assert found.single
    assert found.batch.arrays["x"].tolist() == [[1, 2]]
    assert isinstance(found.batch, BatchWithParams)
    assert found.batch.params == {"times": 3}


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ([1], "params must be an object, got a list"),
        ("a", "params must be an object, got a string"),
        ({"times": "a"}, 'column "params.times": expected an integer, got a string'),
        ({"times": None}, 'column "params.times": expected an integer, got null'),
        ({"times": [1]}, 'column "params.times": expected an integer, got a list'),
        ({"words": "a"}, 'column "params.words": expected a list .*, got a string'),
        ({"words": ["a", 1]}, r'column "params.words": expected a string, got an integer at \[1\]'),
        ({"time": 1}, 'column "params": expected a parameter .*, got an unknown one: time'),
    ],
)
def test_what_does_not_fit_is_refused(params: Any, told: str) -> None:
    with pytest.raises(SchemaMismatch, match=told):
        call(params)
    with pytest.raises(SchemaMismatch, match="this model takes no params"):
        call(params, TAKES_NONE)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(SchemaMismatch) as caught:
        call({"times": "a", "time": 1})

    assert [fault.suggestion for fault in caught.value.faults] == [None, "times"]


def test_only_calls_with_the_same_are_joined() -> None:
    asked = [{"times": 1}, {"times": 1}, {"times": 2}, {"words": ["1"]}, None]
    batches = [call(params) for params in asked]

    assert batches[0].row_key() == batches[1].row_key()
    assert len({batch.row_key() for batch in batches}) == 4
    joint = Batch.join(batches[:2])
    assert isinstance(joint, BatchWithParams)
    assert (joint.rows, joint.params) == (4, {"times": 1})
