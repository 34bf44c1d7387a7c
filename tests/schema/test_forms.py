"""`app.schema.forms`: every form of `data`, and which of one record or a batch it is."""

import io
import json
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import BadRequest, SchemaMismatch
from app.schema import Schema
from app.schema.declared import declare
from app.tensors import Signature, TensorSpec

OUT = (TensorSpec("label", "int64", (None,)),)


def of(*inputs: TensorSpec) -> Schema:
    return Schema(Signature(inputs, OUT, result="label"))


def tensor(dtype: str, *shape: int | None, name: str = "x") -> TensorSpec:
    return TensorSpec(name, dtype, shape)


TABLE = Schema(
    declare(
        Signature(
            tuple(TensorSpec(n, "any", (None,)) for n in ("age", "income", "city", "member")),
            OUT,
            result="label",
        ),
        {
            "type": "object",
            "properties": {
                "age": {"type": "integer"},
                "income": {"type": ["number", "null"]},
                "city": {"type": "string"},
                "member": {"type": "boolean"},
            },
            "required": ["age", "income", "city", "member"],
        },
    )
)
FEATURES = of(tensor("float32", None, 4))
TEXT = of(tensor("string", None))
NUMBER = of(tensor("float64", None))
NUMBER_1 = of(tensor("float64", None, 1))
IMAGE = of(tensor("float32", None, 3, 4, 4))
SEVERAL = of(tensor("int64", None, name="id"), tensor("float32", None, 2, name="at"))
A = {"age": 30, "income": 1.5, "city": "Bern", "member": True}
B = {"age": 40, "income": None, "city": "Rome", "member": False}
SPLIT = {"columns": list(A), "data": [list(A.values()), list(B.values())]}
PANDAS = {name: {"0": A[name], "1": B[name]} for name in A}
LISTS = {name: [A[name], B[name]] for name in A}
PICTURE = np.arange(48).reshape(3, 4, 4).tolist()


def rows(batch: Any) -> list[list[Any]]:
    """Column-wise arrays as rows; NaN as None."""
    listed = [a.tolist() for a in batch.arrays.values()]
    return [[None if v != v else v for v in row] for row in zip(*listed, strict=True)]


@pytest.mark.parametrize(
    ("data", "count", "single"),
    [
        (A, 1, True),
        ([A], 1, False),
        ([A, B], 2, False),
        (list(A.values()), 1, True),
        ([list(A.values())], 1, False),
        ([list(A.values()), list(B.values())], 2, False),
        (SPLIT, 2, False),
        ({**SPLIT, "index": [7, 8]}, 2, False),
        (PANDAS, 2, False),
        (LISTS, 2, False),
        (json.dumps(A), 1, True),
        (json.dumps([A, B]), 2, False),
        ("  " + json.dumps(SPLIT), 2, False),
        (json.dumps(PANDAS), 2, False),
        ({"city": "Bern", "member": True, "extra": 1, "income": 1.5, "age": 30}, 1, True),
    ],
)
def test_a_table_is_read_from_every_form(data: Any, count: int, single: bool) -> None:
    batch, is_single = TABLE.decode(data)
    assert rows(batch) == [list(A.values()), list(B.values())][:count]
    assert (batch.rows, is_single) == (count, single)


@pytest.mark.parametrize(
    ("schema", "data", "shape", "single"),
    [
        (FEATURES, [1, 2, 3, 4], (1, 4), True),
        (FEATURES, [[1, 2, 3, 4]], (1, 4), False),
        (FEATURES, [[1, 2, 3, 4]] * 3, (3, 4), False),
        (FEATURES, {"x": [1, 2, 3, 4]}, (1, 4), True),
        (FEATURES, {"x": [[1, 2, 3, 4]] * 2}, (2, 4), False),
        (FEATURES, [{"x": [1, 2, 3, 4]}] * 2, (2, 4), False),
        (FEATURES, "[[1, 2, 3, 4]]", (1, 4), False),
        (FEATURES, {"columns": ["x"], "data": [[[1, 2, 3, 4]]]}, (1, 4), False),
        (TEXT, "My house is on fire", (1,), True),
        (TEXT, "[1, 2", (1,), True),
        (TEXT, '{"x": 1}', (1,), True),
        (TEXT, ["a", "b"], (2,), False),
        (TEXT, [["a"], ["b"]], (2,), False),
        (TEXT, {"x": "a"}, (1,), True),
        (TEXT, {"x": ["a", "b"]}, (2,), False),
        (TEXT, [{"x": "a"}], (1,), False),
        (NUMBER, 5, (1,), True),
        (NUMBER, [5], (1,), False),
        (NUMBER, [5.1, 3.5, 1.4, 0.2], (4,), False),
        (NUMBER, [[5], [6]], (2,), False),
        (NUMBER, {"x": [[5], [6]]}, (2,), False),
        (NUMBER_1, 5, (1, 1), True),
        (NUMBER_1, [5, 6], (2, 1), False),
        (NUMBER_1, [[5], [6]], (2, 1), False),
        (NUMBER_1, {"x": [[5], [6]]}, (2, 1), False),
        (NUMBER_1, {"x": 5}, (1, 1), True),
        (IMAGE, PICTURE, (1, 3, 4, 4), True),
        (IMAGE, [PICTURE] * 2, (2, 3, 4, 4), False),
        (IMAGE, {"x": PICTURE}, (1, 3, 4, 4), True),
        (IMAGE, {"x": [PICTURE]}, (1, 3, 4, 4), False),
        (IMAGE, [{"x": PICTURE}], (1, 3, 4, 4), False),
    ],
)
def test_the_depth_says_whether_it_is_one_record_or_a_batch(
    schema: Schema, data: Any, shape: tuple[int, ...], single: bool
) -> None:
    batch, is_single = schema.decode(data)
    assert (batch.arrays["x"].shape, batch.rows, is_single) == (shape, shape[0], single)


@pytest.mark.parametrize(
    ("data", "count", "single"),
    [
        ({"id": 1, "at": [0.5, 1]}, 1, True),
        ([{"id": 1, "at": [0.5, 1]}] * 3, 3, False),
        ({"id": [1, 2], "at": [[0.5, 1], [2, 3]]}, 2, False),
        ({"columns": ["at", "id"], "data": [[[0.5, 1], 1]]}, 1, False),
        ({"id": {"0": 1}, "at": {"0": [0.5, 1]}}, 1, False),
        ([], 0, False),
    ],
)
def test_tensors_of_different_depth_go_by_name(data: Any, count: int, single: bool) -> None:
    batch, is_single = SEVERAL.decode(data)
    assert (batch.arrays["id"].shape, batch.arrays["at"].shape) == ((count,), (count, 2))
    assert is_single == single


@pytest.mark.parametrize(
    ("shape", "data"),
    [((2, 3), [[1, 2, 3], [4, 5, 6]]), ((), 5), ((1,), [5]), ((2, None), [[1], [2]])],
)
def test_a_fixed_first_dimension_makes_data_the_whole_tensor(
    shape: tuple[int | None, ...], data: Any
) -> None:
    batch, single = of(tensor("float32", *shape)).decode(data)
    assert (batch.arrays["x"].tolist(), batch.rows, single) == (data, 1, False)
    named, _ = of(tensor("float32", *shape)).decode({"x": data})
    assert named.arrays["x"].tolist() == data


@pytest.mark.parametrize(
    ("schema", "data", "words"),
    [
        (FEATURES, 5, "got an integer"),
        (FEATURES, "words", "got a string"),
        (FEATURES, [[[1, 2, 3, 4]]], "lists nested 3 deep"),
        (NUMBER, [[1, 2]], "lists nested 2 deep"),
        (IMAGE, [1, 2], "lists nested 1 deep"),
        (TABLE, None, "a row of 4 values, a list of rows, an object with age, income"),
        (SEVERAL, [[1, 2]], "data must be an object with id, at"),
        (TABLE, {"columns": "age", "data": []}, "must both be lists"),
        (TABLE, {"columns": ["age"], "data": {}}, "must both be lists"),
        (TABLE, {"columns": [1], "data": [[2]]}, "must be names"),
        (TABLE, {"columns": ["age", "age"], "data": [[2, 3]]}, "must differ"),
        (TABLE, {**LISTS, "city": ["Bern"]}, 'column "city": expected 2 values'),
    ],
)
def test_what_fits_no_form_is_refused_with_a_hint(schema: Schema, data: Any, words: str) -> None:
    with pytest.raises(SchemaMismatch) as caught:
        schema.decode(data)
    assert words in caught.value.message


@pytest.mark.parametrize(
    "data",
    [
        {"columns": ["wrong"], "data": [[1], [2]]},
        {"columns": [], "data": [[], []]},
        {"wrong": {"0": 1, "1": 2}},
    ],
)
def test_rows_without_any_known_column_are_not_an_empty_batch(data: Any) -> None:
    with pytest.raises(SchemaMismatch) as caught:
        NUMBER.decode(data)
    assert [fault.column for fault in caught.value.faults] == ["x"]


@pytest.mark.parametrize("orient", ["columns", "records", "split"])
def test_what_pandas_writes_is_read_as_it_was(orient: Any) -> None:
    frame = pd.DataFrame([A, B], index=pd.Index([10, 2]))
    text = frame.to_json(orient=orient)
    assert text is not None
    for data in (text, json.loads(text)):
        batch, single = TABLE.decode(data)
        assert rows(batch) == [list(A.values()), list(B.values())]
        assert not single
    assert list(pd.read_json(io.StringIO(text), orient=orient)["age"]) == [30, 40]


def test_columns_named_like_those_of_the_split_form_are_columns() -> None:
    schema = of(tensor("int64", None, name="columns"), tensor("int64", None, name="data"))
    batch, single = schema.decode({"columns": [1, 2], "data": [3, 4]})
    assert (rows(batch), single) == ([[1, 3], [2, 4]], False)
    assert schema.decode({"columns": 1, "data": 3})[1] is True


@pytest.mark.parametrize(
    "text", ["[1, 2", '{"age": 1,}', "[NaN]", "[1] 2", '["\\ud800"]', "[" * 2000]
)
def test_broken_json_text_is_a_bad_request(text: str) -> None:
    with pytest.raises(BadRequest, match="is not JSON"):
        FEATURES.decode(text)
    if "NaN" in text:
        with pytest.raises(BadRequest, match="send null"):
            FEATURES.decode(text)


def test_json_text_is_decoded_only_once() -> None:
    with pytest.raises(SchemaMismatch, match="got a string"):
        NUMBER.decode(json.dumps(["[1]"]))


RECORD = st.fixed_dictionaries(
    {
        "age": st.integers(-(2**63), 2**63 - 1),
        "income": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "city": st.text(),
        "member": st.booleans(),
    }
)


@settings(max_examples=60)
@given(st.lists(RECORD, min_size=1, max_size=6), st.permutations(list(A)))
def test_a_table_is_the_same_in_every_form(records: list[dict[str, Any]], order: list[str]) -> None:
    shuffled = [{n: r[n] for n in order} for r in records]
    forms: list[Any] = [
        shuffled,
        [[r[n] for n in A] for r in records],
        {n: [r[n] for r in records] for n in order},
        {n: {str(i): r[n] for i, r in enumerate(records)} for n in order},
        {"columns": order, "data": [[r[n] for n in order] for r in records]},
    ]
    wanted = TABLE.decode(records)[0]
    for form in [*forms, *(orjson.dumps(f).decode() for f in forms)]:
        batch, single = TABLE.decode(form)
        assert not single
        for name, array in wanted.arrays.items():
            assert array.dtype == batch.arrays[name].dtype
            np.testing.assert_array_equal(array, batch.arrays[name])
