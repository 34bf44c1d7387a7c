"""`app.schema.records`: the compiled type takes the common forms, and nothing that is not right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.errors import ModelInvalid, SchemaMismatch
from app.schema import Schema, document, records
from app.schema.declared import declare
from app.tensors import Signature, TensorSpec
from tests.bodies import agree, bodies

OUT = (TensorSpec("label", "int64", (None,)),)

FRAGMENTS: list[dict[str, Any]] = [
    {"type": "integer"},
    {"type": "integer", "minimum": 0, "maximum": 9},
    {"type": "integer", "exclusiveMinimum": -1, "exclusiveMaximum": 2.5},
    {"type": "integer", "minimum": 0.5, "exclusiveMinimum": 0},
    {"type": "integer", "enum": [1, 2]},
    {"type": "integer", "default": 5, "minimum": 1},
    {"type": ["integer", "null"], "maximum": 9},
    {"type": "number"},
    {"type": "number", "exclusiveMinimum": 0, "maximum": 1.5},
    {"type": "number", "enum": [1, 2, 300]},
    {"type": "number", "default": 1},
    {"type": ["number", "null"], "minimum": 1},
    {"type": ["number", "null"], "default": None},
    {"type": "string"},
    {"type": "string", "minLength": 1, "maxLength": 2},
    {"type": "string", "const": "a"},
    {"type": "string", "default": "b", "enum": ["a", "b"]},
    {"type": ["string", "null"], "enum": ["a", "é", None]},
    {"type": ["string", "null"], "enum": ["a"], "default": None},
    {"type": "string", "format": "date-time"},
    {"type": ["string", "null"], "format": "date-time"},
    {"type": "boolean"},
    {"type": "boolean", "default": True},
    {"type": ["boolean", "null"]},
    {"default": 3},
    {},
]
BEYOND: list[dict[str, Any]] = [
    {"type": "integer", "multipleOf": 2},
    {"type": "number", "minimum": 1, "exclusiveMinimum": 0},
    {"type": "integer", "maximum": 2**60},
    {"type": "number", "const": 1.5},
    {"type": "string", "pattern": "^a"},
    {"type": ["boolean", "null"], "default": 1},
    {"enum": ["a", 1]},
    {"type": ["string", "number"]},
]
"""What such a type cannot say, or is not let say."""
BASES = ["any"] * 6 + ["float64", "float32", "int32", "int8", "uint64", "string", "float16"]
NAMES = ["age", "a b", "é", "data", "columns", "index"]
VALUES = st.one_of(
    st.sampled_from(["0", "1", "2", "1", "2", "1.5", "3", "300", "-1", "-0", "1.0", "2.5"]),
    st.sampled_from(['"a"', '"b"', '"é"', '""', '"abc"', '"2020-01-31T10:00:00+02:00"', '"2020"']),
    st.sampled_from(["true", "false", "null", "1e400", "1e39", "70000", "[1]", "{}", '"\\ud800"']),
    st.sampled_from(["9223372036854775808", "18446744073709551616", "9007199254740993", "1e30"]),
    st.integers(-(2**65), 2**65).map(str),
)


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """Of columns of any kind, few of them with rules that no type can say."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=4, unique=True))
    fragments = draw(st.sampled_from([FRAGMENTS] * 9 + [FRAGMENTS + BEYOND]))
    properties = {name: draw(st.sampled_from(fragments)) for name in names}
    required = [n for n in names if "default" not in properties[n]]
    document: dict[str, Any] = {"properties": properties, "required": required}
    if draw(st.integers(0, 9)) == 9:
        document |= draw(st.sampled_from([{"minProperties": 2}, {"additionalProperties": False}]))
    width = draw(st.sampled_from([(), (), (), (1,)]))
    base = draw(st.sampled_from(BASES))
    nullable = draw(st.booleans())
    inputs = tuple(TensorSpec(n, base, (None, *width), nullable=nullable) for n in names)
    signature = Signature(inputs, OUT, result="label")
    if draw(st.integers(0, 3)) == 3:
        return Schema(signature)
    try:
        return Schema(declare(signature, document))
    except ModelInvalid:
        assume(False)
        raise


def fitting(spec: TensorSpec) -> st.SearchStrategy[str]:
    """Values of which many fit the column."""
    options = [v for v in spec.constraints.get("enum", ()) if v is not None]
    if options:
        return st.sampled_from([orjson.dumps(option).decode() for option in options])
    if spec.dtype in ("string", "any"):
        return st.sampled_from(['"a"', '"ab"', '"é"'])
    if spec.dtype == "datetime":
        return st.sampled_from(['"2020-01-31T10:00:00+02:00"', '"2020-01-31"'])
    if spec.dtype == "bool":
        return st.sampled_from(["true", "false"])
    return st.sampled_from(["1", "2"])


@st.composite
def tables(draw: st.DrawFn, schema: Schema) -> str:
    """The text of some records in one of the forms."""
    specs = schema.signature.inputs
    names = [orjson.dumps(spec.name).decode() for spec in specs]
    odd = st.integers(0, 60)

    def row() -> list[str]:
        return [draw(VALUES) if draw(odd) == 60 else draw(fitting(spec)) for spec in specs]

    def record() -> str:
        pairs = [f"{n}: {v}" for n, v in zip(names, row(), strict=True)]
        if draw(odd) >= 58:
            pairs.append(draw(st.sampled_from([pairs[0], '"x": 1', f"{names[0]}: 7"])))
        kept = [p for p in draw(st.permutations(pairs)) if draw(odd) < 59]
        return f"{{{','.join(kept)}}}"

    form = draw(
        st.sampled_from(["one", "records", "records", "rows", "rows", "row", "split", "mixed"])
    )
    if form == "one":
        return record()
    if form == "row":
        return f"[{','.join(row())}]"
    rows = [f"[{','.join(row())}]" for _ in range(draw(st.integers(0, 5)))]
    if form == "split":
        given_names = draw(st.sampled_from([names, names, names, names[::-1], names[:1]]))
        index = draw(st.sampled_from(["", '"index": [0, 1],', '"index": ["a"],', '"x": 1,']))
        return f'{{"columns": [{",".join(given_names)}], {index} "data": [{",".join(rows)}]}}'
    records = [record() for _ in range(draw(st.integers(1, 5)))]
    return f"[{','.join(rows if form == 'rows' else records + rows * (form == 'mixed'))}]"


@pytest.fixture(params=["whole", "in pieces"])
def size(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "in pieces":
            patch.setattr(records, "MAX_BYTES", 0)
            patch.setattr(document, "PIECE_BYTES", 16)
        yield


@pytest.mark.usefixtures("size")
@settings(max_examples=300)
@given(st.data())
def test_records_are_the_same_by_the_compiled_type(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    agree(schema, data.draw(bodies(tables(schema))))


COLUMNS = {
    "age": {"type": "integer", "minimum": 18},
    "income": {"type": ["number", "null"]},
    "city": {"type": "string", "enum": ["Bern", "Rome"]},
    "member": {"type": "boolean"},
    "since": {"type": "string", "format": "date-time"},
    "note": {"type": "string", "default": ""},
}
RECORD = {"age": 41, "income": None, "city": "Bern", "member": True, "since": "2020-01-31"}
ROW = [*RECORD.values(), "text"]
TABLE = Schema(
    declare(
        Signature(tuple(TensorSpec(n, "any", (None,)) for n in COLUMNS), OUT, result="label"),
        {"properties": COLUMNS, "required": list(RECORD)},
    )
)


@pytest.mark.usefixtures("no_slow_way")
@pytest.mark.parametrize(
    ("request_", "rows"),
    [
        ({"data": RECORD}, 1),
        ({"data": [RECORD]}, 1),
        ({"data": [RECORD, RECORD | {"note": "b"}] * 200, "outputs": ["label"]}, 400),
        ({"input_data": [ROW], "model_name": "a", "model_version": 2}, 1),
        ({"data": [ROW] * 3}, 3),
        ({"input_data": {"columns": list(COLUMNS), "index": [0, 1], "data": [ROW, ROW]}}, 2),
    ],
)
def test_the_common_forms_take_the_quick_way(request_: dict[str, Any], rows: int) -> None:
    call = TABLE.read(orjson.dumps(request_))
    assert (call.batch.rows, list(call.batch.arrays)) == (rows, list(COLUMNS))
    assert call.batch.arrays["age"].tolist() == [41] * rows
    assert all(array.flags.c_contiguous for array in call.batch.arrays.values())


@pytest.mark.usefixtures("no_slow_way")
@pytest.mark.parametrize("record", [RECORD, ROW])
def test_many_records_are_read_in_pieces(record: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[int] = []
    whole = records.Records._piece

    def measured(self: records.Records, text: bytes) -> Any:
        pieces.append(len(text))
        return whole(self, text)

    monkeypatch.setattr(records.Records, "_piece", measured)
    body = orjson.dumps({"data": [record] * 40_000, "outputs": ["label"]})
    call = TABLE.read(body)
    assert (call.batch.rows, call.outputs) == (40_000, ("label",))
    assert set(call.batch.arrays["city"].tolist()) == {"Bern"}
    assert len(pieces) >= 3
    assert max(pieces) < 1.5 * document.PIECE_BYTES


@pytest.mark.parametrize(
    "data", [[RECORD] * 8 + [ROW] * 8, [ROW] * 8 + [RECORD] * 8, [RECORD] * 8 + [None]]
)
@pytest.mark.usefixtures("size")
def test_records_and_rows_among_each_other_are_refused(data: list[Any]) -> None:
    body = orjson.dumps({"data": data})
    agree(TABLE, body)
    with pytest.raises(SchemaMismatch):
        TABLE.read(body)


@pytest.mark.parametrize("fragment", BEYOND)
def test_what_a_type_cannot_say_has_none(fragment: dict[str, Any]) -> None:
    signature = Signature((), OUT, result="label")
    document = {"properties": {"x": fragment, "y": {}}, "required": ["x", "y"]}
    schema = Schema(declare(signature, document))
    assert schema._records is None or "default" in fragment
