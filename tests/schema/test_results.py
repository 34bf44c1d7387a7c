"""`app.schema.results`: what stands under `results`, and which outputs may be asked for."""

from typing import Any

import numpy as np
import orjson
import pytest

from app.errors import SchemaMismatch
from app.schema.results import check_outputs, plain, results
from app.tensors import Batch, Call, Signature, TensorSpec

SIGNATURE = Signature(
    (TensorSpec("x", "float32", (None, 2)),),
    (TensorSpec("out", "int64", (None,)), TensorSpec("scores", "float32", (None, 2))),
    result="out",
    aliases={"label": "out", "probabilities": "scores"},
)


def call(rows: int, *outputs: str, single: bool = False) -> Call:
    batch = Batch({"x": np.zeros((rows, 2), dtype=np.float32)}, rows)
    return Call(batch, single, outputs or None)


def sent(prediction: Any, asked: Call) -> Any:
    """As a client reads it."""
    answer = results(prediction, asked, SIGNATURE)
    return orjson.loads(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY))


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (call(2), [1, 0]),
        (call(2, "scores"), {"scores": [[0.5, None], [None, 1.0]]}),
        (call(2, "label", "probabilities"),
         {"label": [1, 0], "probabilities": [[0.5, None], [None, 1.0]]}),
    ],
)  # fmt: skip
def test_a_batch_gets_a_list_and_nan_and_infinity_are_null(asked: Call, wanted: Any) -> None:
    scores = np.array([[0.5, np.nan], [np.inf, 1]], dtype=np.float32)
    assert sent({"out": np.array([1, 0]), "scores": scores}, asked) == wanted


def test_a_single_record_gets_a_value() -> None:
    prediction = {"out": np.array([1]), "scores": np.array([[0.25, np.nan]])}
    assert sent(prediction, call(1, single=True)) == 1
    assert sent(prediction, call(1)) == [1]
    asked = call(1, "label", "scores", single=True)
    assert sent(prediction, asked) == {"label": 1, "scores": [0.25, None]}


def test_no_rows_get_no_results_and_need_no_prediction() -> None:
    assert sent({}, call(0)) == []
    assert sent({}, call(0, "label", "scores")) == {"label": [], "scores": []}


@pytest.mark.parametrize(
    ("output", "wanted"),
    [
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array(["a", None, float("nan")], dtype=object), ["a", None, None]),
        (np.array([b"a"]), ["a"]),
        (np.array([True, False]), [True, False]),
        (np.array([1.5, np.nan], dtype=np.float16), [1.5, None]),
        (np.array([1.5, np.nan], dtype=np.longdouble), [1.5, None]),
        (np.array([1, 2], dtype=">i4"), [1, 2]),
        (np.array([2**64 - 1], dtype=np.uint64), [2**64 - 1]),
        (np.arange(6).reshape(2, 3)[:, ::2], [[0, 2], [3, 5]]),
        (np.array(["2020-01-31"], dtype="datetime64[D]"), ["2020-01-31"]),
        (np.float64("nan"), None),
        ([{1: np.float32(0.5), "b": float("inf")}], [{"1": 0.5, "b": None}]),
        ((np.array([1]), "x"), [[1], "x"]),
    ],
)
def test_whatever_a_model_gives_becomes_json(output: Any, wanted: Any) -> None:
    assert sent({"out": output}, call(2)) == wanted
    assert plain(output) == wanted


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [(None, None), (["out"], ("out",)), (["label", "out", "label"], ("label", "out"))],
)
def test_outputs_are_asked_for_by_name(asked: Any, wanted: Any) -> None:
    assert check_outputs(asked, SIGNATURE) == wanted


@pytest.mark.parametrize("asked", [[], "label", [1], {"label": 1}, 5, [None]])
def test_outputs_that_are_no_list_of_names_are_refused(asked: Any) -> None:
    with pytest.raises(SchemaMismatch, match="must be a list of names"):
        check_outputs(asked, SIGNATURE)


def test_an_unknown_output_is_refused_with_the_near_name() -> None:
    with pytest.raises(SchemaMismatch, match='did you mean "probabilities"') as caught:
        check_outputs(["label", "probabilites"], SIGNATURE)
    assert "only out, scores, label, probabilities" in caught.value.message
