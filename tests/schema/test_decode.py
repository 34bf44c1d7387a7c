"""`app.schema.decode`: a whole request; the five faults; nothing else than a ServingError."""

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import BadRequest, SchemaMismatch, ServingError
from app.schema import Schema
from app.schema.declared import declare
from app.tensors import Call, Signature, TensorSpec

OUT = (TensorSpec("label", "int64", (None,)), TensorSpec("scores", "float32", (None, 2)))
DOCUMENT = {
    "type": "object",
    "properties": {
        "age": {"type": "integer", "minimum": 0},
        "income": {"type": "number"},
        "city": {"type": "string", "enum": ["Bern", "Rome"]},
    },
    "required": ["age", "income", "city"],
}


def of(*inputs: TensorSpec) -> Schema:
    return Schema(Signature(inputs, OUT, result="label"))


TABLE = Schema(
    declare(
        Signature(tuple(TensorSpec(n, "any", (None,)) for n in ("age", "income", "city")), OUT),
        DOCUMENT,
    )
)
FEATURES = of(TensorSpec("x", "float32", (None, 4)))
EACH = [
    TABLE,
    FEATURES,
    of(TensorSpec("x", "string", (None,))),
    of(TensorSpec("x", "float64", (None, 1))),
    of(TensorSpec("x", "float32", (None, 3, 4, 4))),
    of(TensorSpec("x", "int64", (2, 2))),
    of(TensorSpec("x", "bool", ())),
    of(TensorSpec("x", "datetime", (None,)), TensorSpec("y", "float32", (None, None))),
    of(*(TensorSpec(n, "any", (None,), nullable=True) for n in "ab")),
]
GOOD = {"age": 1, "income": 2.5, "city": "Bern"}

Told = list[tuple[int | None, Any, str, str]]


def faults(schema: Schema, data: Any) -> Told:
    with pytest.raises(SchemaMismatch) as caught:
        schema.decode(data)
    return [(f.row, f.column, f.expected, f.got) for f in caught.value.faults]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({**GOOD, "income": "a"}, [(None, "income", "a number", "a string")]),
        ([GOOD, {**GOOD, "income": "a"}], [(1, "income", "a number", "a string")]),
        ([[1, 2.5, "Bern"], [1, "a", "Bern"]], [(1, "income", "a number", "a string")]),
        ([GOOD, {**GOOD, "income": None}], [(1, "income", "a number", "null")]),
        ([GOOD, {"age": 1, "city": "Bern"}], [(1, "income", "a number", "nothing")]),
        ([1, 2.5], [(None, None, "3 values", "2")]),
        ([[1, 2.5, "Bern"], [1, 2.5]], [(1, None, "3 values", "2")]),
        ([[1, 2.5, "Bern"], 7], [(1, None, "3 values", "an integer")]),
        ({"columns": list(GOOD), "data": [[1, 2.5, "Bern"], [1]]}, [(1, None, "3 values", "1")]),
        ([GOOD, 7], [(1, None, "an object, as the other records are", "an integer")]),
        ({"age": [1], "income": ["a"], "city": ["Bern"]}, [(0, "income", "a number", "a string")]),
        ({"age": [1, 2], "income": [1], "city": ["Bern", "Rome"]},
         [(None, "income", "2 values as in the first column", "1")]),
    ],
)  # fmt: skip
def test_the_faults_of_a_table_are_told_by_row_and_column(data: Any, told: Told) -> None:
    assert faults(TABLE, data) == told


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ([1, "a", 3, 4], [(None, 1, "a number", "a string")]),
        ([[1, 2, 3, 4], [1, 2, "a", 4]], [(1, 2, "a number", "a string")]),
        ([[1, 2, 3, 4], [1, 2]], [(1, None, "4 values", "2")]),
        ([1, 2], [(None, None, "4 values", "2")]),
        ([[1, 2, 3, 4], None], [(1, None, "a list of 4 values", "null")]),
        ([None, [1, 2, 3, 4]], [(0, None, "a list of 4 values", "null")]),
        ([[1, 2, [3], 4]], [(0, 2, "a number", "a list")]),
    ],
)
def test_the_faults_of_an_array_are_told_by_row_and_position(data: Any, told: Told) -> None:
    assert faults(FEATURES, data) == told


def test_a_null_in_an_array_is_refused_unless_it_is_declared() -> None:
    assert faults(FEATURES, [[1, 2, 3, 4], [1, None, 3, 4]]) == [(1, 1, "a number", "null")]
    rules = {"type": "array", "items": {"type": ["number", "null"]}}
    declared = Schema(declare(FEATURES.signature, rules))
    assert np.isnan(declared.decode([1, None, 3, 4])[0].arrays["x"][0, 1])


def test_broken_json_text_is_told_by_line_and_column() -> None:
    with pytest.raises(BadRequest, match=r"not JSON: .* \(line 1, column 8\)"):
        TABLE.decode('{"age": nope}'.replace(" ", ""))


def test_all_faults_are_told_at_once_in_the_order_of_rows() -> None:
    rows = [[-1, 2.5, "Bern"], [1, "a", "Bern"], [1], ["a", None, "Paris"], [1, 1, 5]]
    assert [(row, column) for row, column, *_ in faults(TABLE, rows)] == [
        (0, "age"), (1, "income"), (2, None), (3, "age"), (3, "income"), (3, "city"), (4, "city"),
    ]  # fmt: skip


def test_20_faults_are_told_at_most_of_the_first_rows() -> None:
    with pytest.raises(SchemaMismatch, match=r"\(and \d+ more\)") as caught:
        TABLE.decode([["a", "b", 3]] * 100)
    assert [fault.row for fault in caught.value.faults] == [i // 3 for i in range(20)]
    assert len(faults(FEATURES, [["a"] * 4] * 100)) == 20
    assert len(faults(FEATURES, [[1]] * 100)) == 20


@pytest.mark.parametrize("data", [{"age": 1, "Incom": 2.5, "city": "Bern"}])
def test_a_misspelled_column_is_told_with_the_right_name(data: Any) -> None:
    for form in (data, [data], {name: [value] for name, value in data.items()}):
        with pytest.raises(SchemaMismatch, match='did you mean "income"') as caught:
            TABLE.decode(form)
        assert [fault.suggestion for fault in caught.value.faults] == ["income"]


def test_a_payload_of_many_long_names_is_refused_in_good_time() -> None:
    record = {f"column {i} {'x' * 90}": i for i in range(20000)} | {"y" * 10**6: 1}
    with pytest.raises(SchemaMismatch) as caught:
        TABLE.decode([record])
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize(
    ("document", "bare", "single", "outputs"),
    [
        ({"data": GOOD}, False, True, None),
        ({"data": [GOOD], "outputs": None, "params": {}}, False, False, None),
        ({"input_data": GOOD}, True, True, None),
        ({"data": GOOD, "outputs": ["scores"], "unknown": 1}, False, True, ("scores",)),
    ],
)
def test_a_request_is_an_object_around_data(
    document: Any, bare: bool, single: bool, outputs: Any
) -> None:
    call = TABLE.call(document)
    assert (call.bare, call.single, call.outputs) == (bare, single, outputs)


@pytest.mark.parametrize(
    ("document", "error", "words"),
    [
        ({"data": GOOD, "input_data": GOOD}, BadRequest, "both data and input_data"),
        ({"inputs": GOOD}, BadRequest, "no data"),
        ({}, BadRequest, "no data"),
        ([GOOD], BadRequest, "got a list"),
        ("data", BadRequest, "got a string"),
        (None, BadRequest, "got null"),
        ({"data": GOOD, "params": {"a": 1}}, SchemaMismatch, "no params"),
        ({"data": GOOD, "outputs": ["score"]}, SchemaMismatch, 'did you mean "scores"'),
        ({"data": GOOD, "outputs": "scores"}, SchemaMismatch, "list of names"),
    ],
)
def test_a_request_that_is_none_is_refused(
    document: Any, error: type[ServingError], words: str
) -> None:
    with pytest.raises(error) as caught:
        TABLE.call(document)
    assert words in caught.value.message


def test_the_outputs_wanted_are_the_models_own() -> None:
    signature = Signature((), OUT, result="class", aliases={"class": "label"})
    schema = Schema(
        Signature(FEATURES.signature.inputs, OUT, "tensors", "class", {"class": "label"})
    )
    assert schema.wanted(schema.call({"data": [1, 2, 3, 4]})) == ("label",)
    assert schema.wanted(Call(FEATURES.decode([])[0], False, ("scores", "label"))) == (
        "scores", "label",
    )  # fmt: skip
    assert signature.canonical(["label", "class"]) == ("label",)


MARKER = "s3cr3t"
CELLS = st.sampled_from([MARKER, f'["{MARKER}"]', {"k": MARKER}, [MARKER], [[MARKER]], 1, None])


@settings(max_examples=200)
@given(
    st.sampled_from(EACH),
    st.one_of(
        CELLS,
        st.lists(CELLS, max_size=5),
        st.lists(st.lists(CELLS, max_size=4), max_size=3),
        st.dictionaries(st.sampled_from(["age", "income", "city", "x", "a"]), CELLS),
        st.lists(st.dictionaries(st.sampled_from(["age", "income", "city", "x", "a"]), CELLS)),
        st.builds(lambda cell: '{"age": ' + f'"{MARKER}", {cell}', CELLS),
        st.builds(lambda c: {"columns": ["age", "city"], "data": c}, st.lists(st.lists(CELLS))),
    ),
)
def test_no_message_ever_shows_a_value(schema: Schema, data: Any) -> None:
    told = ""
    try:
        schema.call({"data": data})
    except SchemaMismatch as error:
        told = f"{error} {[fault.as_dict() for fault in error.faults]}"
    except BadRequest as error:
        told = str(error)
    assert MARKER not in told


NAMES = st.sampled_from(["age", "income", "city", "x", "y", "a", "columns", "data", "index", "\0"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(2**63) - 1, 2**64, "\0", "[", '{"x": 1}', "\U0001f600"])
    | st.floats()
    | st.text(max_size=3)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300)
@given(st.sampled_from(EACH), JSON)
def test_any_data_gives_a_batch_or_a_serving_error(schema: Schema, data: Any) -> None:
    try:
        batch, single = schema.decode(data)
    except (BadRequest, SchemaMismatch):
        return
    for spec in schema.signature.inputs:
        array = batch.arrays[spec.name]
        assert array.ndim == len(spec.shape)
        assert not single or batch.rows == 1
        assert len(array) == batch.rows if schema.signature.batched else batch.rows == 1


@settings(max_examples=200)
@given(
    st.sampled_from(EACH),
    st.dictionaries(
        st.sampled_from(["data", "input_data", "outputs", "params", "model_name"]), JSON
    )
    | JSON,
)
def test_any_document_gives_a_call_or_a_serving_error(schema: Schema, document: Any) -> None:
    try:
        call = schema.call(document)
    except (BadRequest, SchemaMismatch):
        return
    assert isinstance(call, Call)


@pytest.mark.parametrize("schema", EACH)
@pytest.mark.parametrize("depth", [60, 70, 1000, 100_000])
def test_nesting_however_deep_is_refused(schema: Schema, depth: int) -> None:
    data: Any = []
    for _ in range(depth):
        data = [data]
    for sent in (data, [{"x": data, "age": data, "a": data}], [[data] * 3]):
        with pytest.raises(SchemaMismatch):
            schema.decode(sent)


@pytest.mark.parametrize("text", [b'"\\ud800"', b'"\\udc00"', b'"\xed\xa0\x80"', b'["\\ud83d"]'])
def test_half_a_surrogate_pair_never_comes_in(text: bytes) -> None:
    """onnxruntime would crash of it."""
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(text)
    with pytest.raises(BadRequest):
        FEATURES.decode(f"[{text.decode('utf-8', 'surrogatepass')}]")
