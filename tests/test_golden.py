"""The check at load: known answers, made-up rows, and whether calls may be joined."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from app import golden
from app.differences import differences
from app.errors import GoldenMismatch, ModelInvalid
from app.golden import Verdict
from app.schema import Schema
from tests import models

NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)
TOLERANCES = st.floats(0, 2)


def check(folder: Path, content: Any = None) -> Verdict:
    """Of the model in `folder`, with `content` as its golden file."""
    file = None
    if content is not None:
        text = content if isinstance(content, str) else json.dumps(content)
        file = models.save(folder, "golden.json", text.encode()) / "golden.json"
    model = models.load(folder)
    return golden.check(model, Schema(model.signature), file)


def entry(data: Any, results: Any, **more: Any) -> dict[str, Any]:
    return {"request": {"data": data}, "results": results, **more}


@given(VALUES, TOLERANCES)
def test_a_value_never_differs_from_itself(value: Any, tolerance: float) -> None:
    assert list(differences(value, value, tolerance)) == []


@given(VALUES, VALUES, TOLERANCES)
def test_two_values_differ_either_way_round_or_not_at_all(
    one: Any, other: Any, tolerance: float
) -> None:
    there, back = differences(one, other, tolerance), differences(other, one, tolerance)

    assert len(list(there)) == len(list(back))


@given(st.floats(-1e9, 1e9), st.floats(1e-9, 0.5), st.floats(0, 0.9))
def test_a_number_within_the_tolerance_is_equal_and_one_beyond_it_is_not(
    wanted: float, tolerance: float, share: float
) -> None:
    step = tolerance * max(1.0, abs(wanted))

    assert list(differences([wanted + share * step], [wanted], tolerance)) == []
    assert len(list(differences([wanted + 4 * step], [wanted], tolerance))) == 1


@pytest.mark.parametrize(
    ("got", "wanted", "tolerance", "told"),
    [
        (1000.9, 1000, 1e-3, []),
        (0.0009, 0, 1e-3, []),
        (1002, 1000, 1e-3, ["results: got 1002, wanted 1000"]),
        (2**53, 2**53 + 1, 0, [f"results: got {2**53}, wanted {2**53 + 1}"]),
        (1, 1.0, 0, []),
        (True, 1, 0, ["results: got true, wanted 1"]),
        ("a", "b", 1, ['results: got "a", wanted "b"']),
        (None, 0, 1, ["results: got null, wanted 0"]),
        ([1, 2], [1], 0, ["results: got 2 entries, wanted 1"]),
        ([1], 1, 0, ["results: got [1], wanted 1"]),
        ({"a": 1}, {"b": 1}, 0, ["results: got ['a'], wanted ['b']"]),
        ({"a": [1, 2]}, {"a": [1, 3]}, 0, ['column "a"[1]: got 2, wanted 3']),
        (
            [[1, 2], [3, 4]],
            [[1, 0], [0, 4]],
            0,
            ["row 0, column 1: got 2, wanted 0", "row 1, column 0: got 3, wanted 0"],
        ),
        ("x" * 99, "y", 0, [f'results: got "{"x" * 56}..., wanted "y"']),
    ],
)
def test_a_difference_tells_the_place_what_was_got_and_what_was_wanted(
    got: Any, wanted: Any, tolerance: float, told: list[str]
) -> None:
    assert list(differences(got, wanted, tolerance)) == told


@pytest.mark.parametrize(
    ("request_", "results", "told"),
    [
        ({"data": [[0, 1]]}, [1], "row 0: got 0, wanted 1"),
        ({"data": [0, 1]}, 1, "results: got 0, wanted 1"),
        ({"data": [0, 1], "outputs": ["label"]}, {"label": 1}, 'output "label": got 0, wanted 1'),
        (
            {"data": [[0, 1]], "outputs": ["probabilities"]},
            {"probabilities": [[0.5, "?"]]},
            'row 0, output "probabilities", column 0: got 0.6',
        ),
        (
            {"data": [0, 1], "outputs": ["probabilities"]},
            {"probabilities": [0.5, "?"]},
            'output "probabilities", column 0: got 0.6',
        ),
    ],
)
def test_a_wrong_answer_is_told_by_row_output_and_column(
    tmp_path: Path, request_: Any, results: Any, told: str
) -> None:
    folder = models.save_sklearn(tmp_path, models.classifier())

    with pytest.raises(GoldenMismatch, match=re.escape(f"request 0, {told}")):
        check(folder, [{"request": request_, "results": results}])


def test_a_place_has_the_names_of_columns_where_there_are_names() -> None:
    got, wanted = [{"income": [1, 2]}], [{"income": [1, 3]}]

    assert list(differences(got, wanted, 0)) == ['row 0, column "income"[1]: got 2, wanted 3']
    assert list(differences(got[0], wanted[0], 0, by_row=False)) == [
        'column "income"[1]: got 2, wanted 3'
    ]


def test_a_model_that_gives_its_known_answers_is_good(tmp_path: Path) -> None:
    verdict = check(
        models.save_sklearn(tmp_path, models.regressor()),
        [entry([[1, 2], [3, 4]], [3, 7]), entry([0.1, 0.2], 0.3), entry([], [])],
    )

    assert verdict.checked == "golden: 2 requests"
    assert (verdict.joinable, verdict.joining) == (True, "on: joint and single predictions agree")


def test_a_wrong_answer_is_told_with_its_request_its_place_and_both_values(tmp_path: Path) -> None:
    folder = models.save_sklearn(tmp_path, models.classifier())
    right, wrong = entry([0, 1], 0), entry(models.ROWS.tolist(), [0, 1, 1, 1])

    with pytest.raises(GoldenMismatch) as caught:
        check(folder, [right, wrong])

    assert str(caught.value) == "golden.json: request 1, row 2: got 0, wanted 1"


def test_five_differences_are_told_and_the_others_counted(tmp_path: Path) -> None:
    folder = models.save_sklearn(tmp_path, models.classifier())

    with pytest.raises(GoldenMismatch, match=r"request 4, results: .* \(and 3 more\)$"):
        check(folder, [entry([0, 1], "home")] * 8)


@pytest.mark.parametrize(
    ("tolerance", "is_good"), [(1e-3, True), (1, True), (0, False), (1e-5, False)]
)
def test_an_entry_says_how_near_is_near_enough(
    tmp_path: Path, tolerance: float, is_good: bool
) -> None:
    folder = models.save_sklearn(tmp_path, models.regressor())
    content = [entry([1, 2], 3.0005, tolerance=tolerance)]

    if is_good:
        check(folder, content)
    else:
        with pytest.raises(GoldenMismatch):
            check(folder, content)


def test_outputs_may_be_asked_for_in_a_golden_request(tmp_path: Path) -> None:
    request = {"data": [[0, 1]], "outputs": ["label", "probabilities"]}
    results = {"label": [0], "probabilities": [[0.5, 0.5]]}

    check(
        models.save_sklearn(tmp_path, models.classifier()),
        [{"request": request, "results": results, "tolerance": 0.5}],
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "golden.json is not JSON"),
        ("[{]", "golden.json is not JSON"),
        ({"request": {}, "results": 0}, "golden.json must be a list of at least one request"),
        ([], "golden.json must be a list of at least one request"),
        ([entry([0, 1], 0), {"request": {}}], "golden.json: entry 1 needs request and results"),
        ([7], "golden.json: entry 0 needs request and results"),
        ([entry(0, 0, tolerance="1e-3")], "the tolerance of entry 0 must be a number"),
        ([entry(0, 0, tolerance=-1)], "the tolerance of entry 0 must be a number"),
        ([entry(0, 0, tolerance=True)], "the tolerance of entry 0 must be a number"),
        ([entry(["a", 1], 0)], "golden.json: request 0: "),
        ([{"request": [0, 1], "results": 0}], "golden.json: request 0: the body must be an object"),
    ],
)
def test_a_golden_file_that_cannot_be_read_is_refused(
    tmp_path: Path, content: Any, told: str
) -> None:
    with pytest.raises(ModelInvalid, match=told):
        check(models.save_sklearn(tmp_path, models.classifier()), content)


def test_a_golden_request_that_the_model_raises_on_is_told(tmp_path: Path) -> None:
    rows = [[1, 2, 3], [4, 5, 6]]

    with pytest.raises(GoldenMismatch, match="request 0: the model raised Fail"):
        check(models.one_row_only(tmp_path), [entry(rows, rows)])


def picky(frame: Any) -> Any:
    """Stands for code that takes certain values only."""
    if not set(frame["city"]) <= {"Bern", "Rome"}:
        raise KeyError("an unknown city")
    return frame.map(len).to_numpy()


def picky_model(folder: Path, schema: Any) -> Path:
    columns = ColumnTransformer([("size", FunctionTransformer(picky), ["city"])])
    estimator = make_pipeline(columns, DecisionTreeClassifier())
    return models.save_sklearn(folder, estimator.fit(models.PEOPLE[["city"]], [0, 1, 0, 1]), schema)


def test_a_failed_first_prediction_is_warned_of_when_types_were_guessed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    verdict = check(picky_model(tmp_path, None))

    assert verdict.checked == "not checked: made-up rows do not run (KeyError raised)"
    assert (verdict.joinable, verdict.joining) == (False, "off: no payload is known to compare by")
    assert caplog.messages == ["made-up rows do not run (KeyError raised); add a golden.json"]


def test_a_failed_first_prediction_is_refused_when_the_schema_is_declared(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    folder = picky_model(tmp_path, schema)

    with pytest.raises(ModelInvalid, match="of made-up rows, failed: KeyError raised"):
        check(folder)
    assert check(folder, [entry({"city": "Bern"}, 0)]).checked == "golden: 1 requests"


def test_answers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match="output y is not finite"):
        check(models.not_finite(tmp_path))


def fixed(folder: Path) -> Path:
    return models.identity(folder, shape=(2, 3))


def summed(folder: Path) -> Path:
    """x -> y = the sum of all values."""
    nodes = [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)]
    return models.save_onnx(folder, nodes, [models.value("x")], [models.value("y", shape=())])


def always_equal(folder: Path) -> Path:
    return models.identity(folder, TensorProto.FLOAT, ("N", 0))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (models.identity, "on: joint and single predictions agree"),
        (models.adder, "on: joint and single predictions agree"),
        (models.row_mixer, "off: output y of a row depends on the other rows"),
        (models.one_row_only, "off: a joint call raised Fail"),
        (fixed, "off: an input has a fixed first axis"),
        (summed, "off: output y has not one entry per row"),
        (always_equal, "off: no two different rows are known to compare by"),
    ],
)
def test_calls_are_joined_only_when_that_changes_no_answer(
    tmp_path: Path, make: Callable[[Path], Path], told: str
) -> None:
    verdict = check(make(tmp_path))

    assert verdict.joining == told
    assert verdict.joinable == told.startswith("on")


@pytest.mark.parametrize(
    "entries",
    [
        [entry([5, 6, 7], [0, 0, 0])],
        [entry([[5, 6, 7]], [[0, 0, 0]]), entry([5, 6, 7], [0, 0, 0])],
        [entry([[1, 2, 3], [3, 4, 5]], [[-1, -1, -1], [1, 1, 1]])],
    ],
)
def test_a_model_that_mixes_rows_is_found_out_whatever_its_golden_requests(
    tmp_path: Path, entries: list[Any]
) -> None:
    verdict = check(models.row_mixer(tmp_path), entries)

    assert verdict.checked.startswith("golden")
    assert verdict.joining == "off: output y of a row depends on the other rows"


def test_a_joint_call_that_fails_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    check(models.one_row_only(tmp_path))

    assert capfd.readouterr() == ("", "")


def test_one_golden_row_is_enough_to_join_a_model_that_mixes_nothing(tmp_path: Path) -> None:
    assert check(models.identity(tmp_path), [entry([5, 6, 7], [5, 6, 7])]).joinable


def test_a_model_that_takes_pairs_of_rows_only_is_served_and_not_joined(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "size"], ["y"])]
    size = helper.make_tensor("size", TensorProto.INT64, [2], [2, 3])
    models.save_onnx(tmp_path, nodes, [models.value("x")], [models.value("y")], weights=[size])
    rows = [[1, 2, 3], [4, 5, 6]]

    verdict = check(tmp_path, [entry(rows, rows)])

    assert not verdict.joinable
    assert verdict.predict_s > 0
