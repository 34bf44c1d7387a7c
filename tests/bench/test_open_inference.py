"""Requests and answers of the Open Inference Protocol, there and back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bench import open_inference

SHAPES = arrays.array_shapes(min_dims=2, max_dims=4, max_side=5)
LENGTH = "Inference-Header-Content-Length"


@given(arrays.arrays(np.float32, SHAPES))
def test_a_binary_request_holds_the_rows_bit_by_bit(array: Any) -> None:
    request = open_inference.binary("/v2/models/m/infer", array.tolist(), "scores")
    length = int(request.headers[LENGTH])
    head = json.loads(request.body[:length])
    (sent,) = head["inputs"]
    read = np.frombuffer(request.body[length:], "<f4").reshape(sent["shape"])

    np.testing.assert_array_equal(read, array)
    assert (sent["datatype"], sent["parameters"]) == ("FP32", {"binary_data_size": array.nbytes})
    assert head["outputs"] == [{"name": "scores", "parameters": {"binary_data": True}}]


@given(st.sampled_from([("FP32", np.float32), ("FP64", np.float64)]), st.data())
def test_a_binary_answer_is_read_bit_by_bit(kind: tuple[str, Any], data: Any) -> None:
    name, dtype = kind
    array = data.draw(arrays.arrays(dtype, SHAPES))
    output = {"name": "scores", "shape": array.shape, "datatype": name}
    head = json.dumps({"model_name": "m", "outputs": [output]}).encode()
    headers = {LENGTH.lower(): str(len(head))}

    read = open_inference.answer(head + array.tobytes(), headers)
    np.testing.assert_array_equal(np.asarray(read, dtype), array.ravel())


@given(arrays.arrays(np.float64, SHAPES, elements=st.floats(-1e300, 1e300)))
def test_json_tensors_hold_the_rows_flat_with_their_shape(array: Any) -> None:
    request = open_inference.tensor("/p", array.tolist(), "FP64", id="7")
    document = json.loads(request.body)
    (sent,) = document["inputs"]

    np.testing.assert_array_equal(np.asarray(sent["data"]).reshape(sent["shape"]), array)
    assert (request.path, document["id"], sent["datatype"]) == ("/p", "7", "FP64")


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.text()))
def test_a_json_answer_is_its_data(data: list[object]) -> None:
    body = json.dumps({"outputs": [{"name": "label", "datatype": "BYTES", "data": data}]})

    assert open_inference.answer(body.encode(), {"content-type": "application/json"}) == data


@pytest.mark.parametrize(
    ("value", "datatype"), [(True, "BOOL"), (3, "INT64"), (0.5, "FP64"), ("north", "BYTES")]
)
def test_a_named_column_is_a_tensor_of_its_type(value: object, datatype: str) -> None:
    request = open_inference.columns("/p", [{"a": value, "b": 1}], [1, 1])
    first, second = json.loads(request.body)["inputs"]

    assert first == {"name": "a", "shape": [1, 1], "datatype": datatype, "data": [value]}
    assert second["name"] == "b"
