"""`app.schema.values`: the rules for awkward values, declared and derived; fast and slow agree."""

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import SchemaMismatch
from app.schema import Schema
from app.schema.columns import Column
from app.schema.declared import declare
from app.schema.forms import MISSING
from app.schema.values import one_by_one
from app.tensors import Signature, TensorSpec, storage

OUT = (TensorSpec("label", "int64", (None,)),)


def at_once(values: list[Any], spec: TensorSpec, depth: int) -> Any:
    return Column(spec, depth).read(values)


def derived(dtype: str, *, nullable: bool = False) -> Schema:
    spec = TensorSpec("x", dtype, (None,), nullable=nullable)
    return Schema(Signature((spec,), OUT, result="label"))


def declared(fragment: dict[str, Any], base: str = "any", **more: Any) -> Schema:
    signature = Signature((TensorSpec("x", base, (None,)),), OUT, result="label")
    document = {"type": "object", "properties": {"x": fragment}, "required": ["x"], **more}
    return Schema(declare(signature, document))


def column(schema: Schema, *values: Any) -> Any:
    """As the wire brings them."""
    data = orjson.loads(orjson.dumps([{"x": value} for value in values]))
    return schema.decode(data)[0].arrays["x"]


def refused(schema: Schema, *values: Any) -> str:
    with pytest.raises(SchemaMismatch) as caught:
        column(schema, *values)
    assert caught.value.faults
    return caught.value.message


INTEGER = declared({"type": "integer"})
NUMBER = declared({"type": "number"})
BOOLEAN = declared({"type": "boolean"})


def test_null_in_a_declared_integer_column_is_refused() -> None:
    assert refused(INTEGER, 1, None) == "row 1: expected an integer, got null"
    assert refused(derived("int64"), None) == "row 0: expected an integer, got null"


@pytest.mark.parametrize(
    "schema",
    [
        derived("float64", nullable=True),
        derived("float32", nullable=True),
        declared({"type": ["number", "null"]}),
        declared({"type": ["number", "null"]}, "float32"),
    ],
)
def test_null_is_nan_in_a_float_column_that_is_nullable_or_derived(schema: Schema) -> None:
    array = column(schema, None, 1.5)
    assert np.isnan(array[0])
    assert array[1] == 1.5


def test_null_in_a_float_column_declared_without_it_is_refused() -> None:
    assert refused(NUMBER, 1.5, None) == "row 1: expected a number, got null"
    assert refused(declared({"type": "number"}, "float32"), None).endswith("got null")
    assert refused(derived("float32"), None).endswith("got null")  # as the inputs of ONNX are


def test_a_nullable_integer_column_holds_nan_and_whole_numbers_only() -> None:
    schema = declared({"type": ["integer", "null"]})
    array = column(schema, None, 3, True)
    np.testing.assert_array_equal(array, [np.nan, 3.0, 1.0])
    assert refused(schema, 1.5) == "row 0: expected an integer or null, got a number"


def test_a_nullable_boolean_column_holds_null_as_none() -> None:
    schema = declared({"type": ["boolean", "null"]})
    assert column(schema, None, True, 0).tolist() == [None, True, False]
    assert refused(schema, 2).endswith("got a number other than 0 and 1")


@pytest.mark.parametrize("schema", [INTEGER, derived("int64")])
@pytest.mark.parametrize("others", [[], [1.0], [True]])
def test_integers_are_exact_up_to_the_last_one(schema: Schema, others: list[Any]) -> None:
    big = [2**63 - 1, -(2**63), 2**53 + 1, *others]
    assert column(schema, *big).tolist() == [int(value) for value in big]


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**64, 2**70])
@pytest.mark.parametrize("schema", [INTEGER, derived("int64")])
def test_an_integer_beyond_64_bits_is_refused(schema: Schema, value: int) -> None:
    sent = orjson.loads(str(value))  # from 2**64 on orjson reads a float
    assert "range of int64" in refused(schema, 1, sent)


@pytest.mark.parametrize("others", [[], [1.0]])
def test_unsigned_integers_are_exact_up_to_their_last_one(others: list[Any]) -> None:
    schema = derived("uint64")
    assert column(schema, 2**64 - 1, 0, *others).tolist() == [2**64 - 1, 0, *others]
    assert "range of uint64" in refused(schema, orjson.loads(str(2**64)))
    assert "range of uint64" in refused(schema, 2**63, -1)


@pytest.mark.parametrize("schema", [NUMBER, derived("float64")])
def test_an_integer_above_2_to_53_in_a_float_column_is_rounded(schema: Schema) -> None:
    assert column(schema, 2**53 + 1, 0.5).tolist() == [2.0**53, 0.5]
    assert column(schema, 2**63 - 1).tolist() == [2.0**63]


@pytest.mark.parametrize(("dtype", "limit"), [("int8", 127), ("uint8", 255), ("int32", 2**31 - 1)])
def test_narrow_integers_have_their_own_range(dtype: str, limit: int) -> None:
    assert column(derived(dtype), limit).dtype == dtype
    assert f"to {limit}, got an integer beyond" in refused(derived(dtype), limit + 1)
    assert f"to {limit}, got" in refused(declared({"type": "integer"}, dtype), limit + 1)


@pytest.mark.parametrize("make", [derived, lambda t: declared({"type": "number"}, t)])
@pytest.mark.parametrize(
    ("dtype", "value"), [("float32", 1e39), ("float16", 70000), ("bfloat16", 1e39)]
)
def test_a_number_beyond_a_narrow_float_is_refused(make: Any, dtype: str, value: float) -> None:
    assert refused(make(dtype), 1, value).endswith(f"a number beyond the range of {dtype}")
    assert column(make(dtype), 60000).tolist() == [60000]


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [(NUMBER, [1, 0]), (INTEGER, [1, 0]), (derived("float32"), [1, 0]), (derived("int8"), [1, 0])],
)
def test_true_and_false_fit_numeric_columns(schema: Schema, wanted: list[int]) -> None:
    assert column(schema, True, False).tolist() == wanted
    assert column(schema, True, 0).tolist() == wanted


@pytest.mark.parametrize("schema", [BOOLEAN, derived("bool")])
def test_one_and_zero_fit_boolean_columns_and_texts_do_not(schema: Schema) -> None:
    assert column(schema, 1, 0, True, 1.0).tolist() == [True, False, True, True]
    assert refused(schema, "true") == "row 0: expected true or false, got a string"
    assert refused(schema, 2).endswith("got a number other than 0 and 1")


@pytest.mark.parametrize("schema", [INTEGER, NUMBER, derived("float32"), derived("int64")])
@pytest.mark.parametrize("value", ["1", "", "true", [], {}, [1]])
def test_only_numbers_are_numbers(schema: Schema, value: Any) -> None:
    assert "got a" in refused(schema, 1, value)


def test_an_unseen_category_is_refused_when_declared_else_the_models_business() -> None:
    schema = declared({"type": "string", "enum": ["shop", "phone"]})
    assert refused(schema, "Phones") == (
        'row 0: expected one of "shop", "phone", got a string not among them; did you mean "phone"?'
    )
    assert column(derived("string"), "fone").tolist() == ["fone"]


def test_columns_beyond_the_inputs_are_counted_or_refused() -> None:
    batch, _ = NUMBER.decode([{"x": 1, "y": 2}, {"x": 1, "z": 3}])
    assert batch.extra_columns == 2
    closed = declared({"type": "number"}, additionalProperties=False)
    with pytest.raises(SchemaMismatch, match='column "y": expected no such column'):
        closed.decode({"x": 1, "y": 2})
    with pytest.raises(SchemaMismatch, match='did you mean "x"'):
        closed.decode({"x": 1, "X": 2})


@pytest.mark.parametrize("text", ["2020-01-31T10:00:00+02:00", "2020-01-31T08:00:00Z"])
def test_a_date_like_string_stays_one_unless_declared_as_a_date_time(text: str) -> None:
    for schema in (derived("string"), declared({"type": "string"}), derived("any")):
        assert column(schema, text).tolist() == [text]
    array = column(declared({"type": "string", "format": "date-time"}), text)
    assert array.tolist() == [np.datetime64("2020-01-31T08:00:00", "us").tolist()]


@pytest.mark.parametrize("value", ["soon", "", 5, "0001-01-01T00:00:00+10:00", "2020-13-01", "\0"])
def test_what_is_no_date_time_is_refused(value: Any) -> None:
    schema = declared({"type": "string", "format": "date-time"})
    assert "expected a date-time (RFC 3339), got a" in refused(schema, value)


@pytest.mark.parametrize(
    "schema", [INTEGER, derived("float32"), derived("string"), declared({"type": "boolean"})]
)
def test_an_empty_list_is_a_batch_of_no_rows(schema: Schema) -> None:
    batch, single = schema.decode([])
    assert (batch.rows, single, batch.arrays["x"].shape) == (0, False, (0,))


def test_null_in_a_column_of_any_type_needs_to_be_declared() -> None:
    assert refused(declared({"type": ["number", "string"]}), None).endswith("got null")
    assert column(declared({}), None, 1).tolist() == [None, 1]


DTYPES = ["float16", "bfloat16", "float32", "float64", "int8", "int64", "uint8", "uint64", "bool"]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([2**63, 2**64 - 1, 2**53 + 1, 10**400, 255, 256, 65504, 65520])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3)
    | st.just(MISSING)
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.text(max_size=1), st.integers(), max_size=1)
)
NUMBERS = st.one_of(st.integers(0, 300), st.floats(0, 1), st.booleans(), st.none())


@settings(max_examples=300)
@given(
    st.sampled_from([*DTYPES, "string", "any", "datetime"]),
    st.booleans(),
    st.one_of(st.lists(SCALARS, max_size=4), st.lists(NUMBERS, max_size=6)),
)
def test_a_column_at_once_is_what_it_is_value_by_value(
    dtype: str, nullable: bool, values: list[Any]
) -> None:
    spec = TensorSpec("x", dtype, (None,), nullable=nullable)
    fast = at_once(values, spec, 0)
    slow, faults = one_by_one(values, spec, 0, "x", single=False)
    assert (slow is None) == bool(faults)
    if fast is not None:
        assert slow is not None
        assert fast.dtype == slow.dtype
        np.testing.assert_array_equal(fast, slow)


@settings(max_examples=200)
@given(
    st.sampled_from([*DTYPES, "string"]),
    st.booleans(),
    st.sampled_from([(None, 2), (None, None), (None, 1, 2), (None, None, 0)]),
    st.data(),
)
def test_nested_columns_at_once_are_what_they_are_value_by_value(
    dtype: str, nullable: bool, shape: tuple[int | None, ...], data: st.DataObject
) -> None:
    spec = TensorSpec("x", dtype, shape, nullable=nullable)
    leaf = st.one_of(NUMBERS, st.text(max_size=2)) if dtype == "string" else NUMBERS
    values: st.SearchStrategy[Any] = leaf
    for size in reversed(shape[1:]):
        low, high = (0, 2) if size is None else (size, size)
        odd: st.SearchStrategy[Any] = st.one_of(st.none(), st.just({}), st.just(""))
        values = st.lists(values, min_size=low, max_size=high) | odd
    drawn = data.draw(st.lists(values, max_size=3))
    fast = at_once(drawn, spec, len(shape) - 1)
    slow, faults = one_by_one(drawn, spec, len(shape) - 1, None, single=False)
    assert (slow is None) == bool(faults)
    if fast is not None:
        assert slow is not None
        assert (fast.dtype, fast.shape) == (slow.dtype, slow.shape)
        np.testing.assert_array_equal(fast, slow)


@pytest.mark.parametrize("dtype", DTYPES)
def test_well_typed_columns_take_the_fast_way(dtype: str) -> None:
    good = [True, False] if dtype == "bool" else [1, 0]
    assert at_once(good, TensorSpec("x", dtype, (None,)), 0) is not None
    nested = at_once([good], TensorSpec("x", dtype, (None, 2)), 1)
    assert nested is not None
    assert (nested.dtype, nested.tolist()) == (storage(dtype), [good])
