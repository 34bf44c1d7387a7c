"""`app.schema.bodies`: JSON Schema of whole requests and answers, and examples of requests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jsonschema_rs
import pytest

from app.schema import Schema, bodies
from app.tensors import Signature, TensorSpec

OUT = (TensorSpec("label", "int64", (None,)), TensorSpec("probabilities", "float32", (None, 2)))
NUMBER = TensorSpec("x", "float64", (None,))
TABLE = Signature(
    (TensorSpec("age", "int64", (None,)), TensorSpec("city", "string", (None,))),
    OUT,
    result="label",
)
ROWS = Signature((TensorSpec("x", "float32", (None, 4)),), OUT, result="label")
TEXT = Signature((TensorSpec("x", "string", (None,)),), OUT, result="label")
TENSORS = Signature(
    (TensorSpec("ids", "int64", (None,)), TensorSpec("mask", "int8", (None, 2))),
    OUT,
    result="label",
)
WHOLE = Signature(
    (TensorSpec("x", "float32", (2, 2)),), (TensorSpec("y", "float32", (2, 2)),), result="y"
)
NAMED = replace(TABLE, input_names=("input_df",))
SEVERAL = replace(TENSORS, input_names=("ids", "mask"))
WITH_PARAMS = replace(ROWS, params=(TensorSpec("top", "int64", (None,)),))
KINDS = {
    "table": TABLE, "rows": ROWS, "text": TEXT, "tensors": TENSORS, "whole": WHOLE,
    "named": NAMED, "several": SEVERAL, "params": WITH_PARAMS,
}  # fmt: skip
EACH = pytest.mark.parametrize("signature", KINDS.values(), ids=KINDS)


@EACH
@pytest.mark.parametrize("takes_one", [True, False])
def test_the_example_of_a_batch_fits_what_is_said_and_what_is_taken(
    signature: Signature, takes_one: bool
) -> None:
    sent = bodies.batch_example(signature)

    assert jsonschema_rs.is_valid(bodies.request(signature, takes_one=takes_one), sent)
    assert not Schema(signature).call(sent).single


@EACH
def test_the_example_of_one_record_does_too(signature: Signature) -> None:
    sent = bodies.example(signature)

    assert jsonschema_rs.is_valid(bodies.request(signature), sent)
    assert Schema(signature).call(sent).single is signature.batched


def test_inputs_go_by_the_names_that_requests_may_use() -> None:
    assert bodies.request(ROWS)["required"] == ["data"]
    assert bodies.request(NAMED)["required"] == ["input_df"]
    assert bodies.request(SEVERAL)["required"] == ["ids", "mask"]
    assert bodies.request(replace(ROWS, input_names=("params",)))["required"] == ["data"]


def test_outputs_and_params_are_told_by_name() -> None:
    told = bodies.request(replace(WITH_PARAMS, aliases={"kind": "label"}))["properties"]

    assert told["outputs"]["items"]["enum"] == ["label", "probabilities", "kind"]
    assert told["params"]["properties"] == {"top": {"type": "integer"}}


@pytest.mark.parametrize(
    ("spec", "results"),
    [
        (TensorSpec("y", "int32", (None,)), [1, 2]),
        (TensorSpec("y", "float32", (None, 2)), [[1.5, None]]),
        (TensorSpec("y", "string", (None, 1)), [["a"], ["b"]]),
        (TensorSpec("y", "datetime", (None,)), ["2020-01-01T00:00:00.000000"]),
        (TensorSpec("y", "bool", (None, None, 1)), [[[True], [False]]]),
    ],
)
def test_results_are_told_as_they_come(spec: TensorSpec, results: Any) -> None:
    signature = Signature((NUMBER,), (spec,), result="y")
    batch_only = bodies.answer(signature, takes_one=False)

    assert jsonschema_rs.is_valid(batch_only, {"results": results})
    assert not jsonschema_rs.is_valid(batch_only, {"results": results[0]})
    assert not jsonschema_rs.is_valid(batch_only, {})
    for given in (results, results[0], {"y": results}):
        assert jsonschema_rs.is_valid(bodies.answer(signature), {"results": given})


def test_the_result_of_a_whole_tensor_is_a_whole_one() -> None:
    told = bodies.answer(WHOLE, takes_one=False)

    assert jsonschema_rs.is_valid(told, {"results": [[1, 2], [3, 4]]})
    assert not jsonschema_rs.is_valid(told, {"results": [[[1, 2], [3, 4]]]})


@pytest.mark.parametrize(
    "spec",
    [
        TensorSpec("y", "any", (None,)),
        TensorSpec("y", "float32", ()),
        TensorSpec("y", "int8", (1,)),
    ],
)
def test_of_outputs_that_are_not_known_nothing_is_said(spec: TensorSpec) -> None:
    signature = Signature((NUMBER,), (spec,), result="y")

    assert bodies.answer(signature)["properties"] == {"results": {}}


def test_the_result_may_be_named_by_its_alias() -> None:
    signature = replace(ROWS, aliases={"kind": "label"}, result="kind")

    assert bodies.answer(signature, takes_one=False) == bodies.answer(ROWS, takes_one=False)
