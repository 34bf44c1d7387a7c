"""`Schema.read`: from the bytes, by the quick ways, what the document gives by the slow one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import ServingError
from app.schema import Schema, decode, numerals
from app.schema.document import loads
from app.tensors import Call, Signature, TensorSpec

OUT = (TensorSpec("label", "int64", (None,)), TensorSpec("scores", "float32", (None, 2)))


def of(*inputs: TensorSpec) -> Schema:
    return Schema(Signature(inputs, OUT, result="label"))


def tensor(dtype: str, *sizes: int, nullable: bool = False) -> Schema:
    return of(TensorSpec("x", dtype, (None, *sizes), nullable=nullable))


def told(work: Callable[[], Call]) -> Any:
    """All that there is to know of a call, or of an error."""
    try:
        call = work()
    except ServingError as error:
        return type(error), error.message, getattr(error, "faults", ())
    arrays = {n: (a.dtype, a.shape, _content(a)) for n, a in call.batch.arrays.items()}
    flags = {a.flags.writeable for a in call.batch.arrays.values()}
    batch = call.batch
    return arrays, flags, batch.rows, batch.extra_columns, call.single, call.outputs, call.bare


def _content(array: Any) -> Any:
    """Every bit of numbers, the types of objects; what NaN it is does not matter."""
    if array.dtype.kind == "O":
        return [(type(value), value) for value in array.ravel().tolist()]
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.array(np.nan, array.dtype), array)
    return array.tobytes()


def agree(schema: Schema, body: bytes) -> None:
    assert told(lambda: schema.read(body)) == told(lambda: schema.call(loads(body)))


@pytest.fixture(params=["as they are", "all large", "all large, in pieces"])
def sizes(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "as they are":
            patch.setattr(decode, "MIN_BYTES", 0)
        if request.param == "all large, in pieces":
            patch.setattr(numerals, "PIECE_BYTES", 12)
        yield


GOOD = st.one_of(
    st.integers(0, 300).map(str),
    st.integers(-(2**63), 2**64 - 1).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(0, 1, width=32).map(repr),
    st.sampled_from(["-0", "-0.0", "1E5", "1e+2", "0e9", "9007199254740993", "3.4028235e38"]),
)
ODD = st.sampled_from(
    ["1e400", "18446744073709551616", "-9223372036854775809", "1e39", "3.4028235677973366e38"]
) | st.sampled_from(
    ["true", "null", '"1"', "01", "1.", "NaN", "-Infinity", "[1]", "[]", "{}", "", "1 2", "-"]
)
SMALL = st.integers(0, 100).map(str)
SPACE = st.sampled_from(["", "", "", " ", "\n", "\t ", "\r\n"])


@st.composite
def arrays(draw: st.DrawFn, sizes: tuple[int, ...], leaf: st.SearchStrategy[str]) -> str:
    """The text of nested lists, mostly of those sizes, mostly of numbers."""
    if not sizes or draw(st.integers(0, 100)) == 99:
        return draw(SPACE) + draw(ODD if draw(st.integers(0, 80)) == 79 else leaf) + draw(SPACE)
    size = sizes[0] + (draw(st.sampled_from([-1, 1])) if draw(st.integers(0, 80)) == 79 else 0)
    inner = ",".join(draw(arrays(sizes[1:], leaf)) for _ in range(size))
    return f"{draw(SPACE)}[{inner}]{draw(SPACE)}"


FIRST = st.sampled_from(["", "", "", '"model_name": "a", ', '"outputs": null,', '"data": 1, '])
LAST = st.sampled_from(
    ["", "", "", "", ', "outputs": ["label"]', ', "params": {}', ', "outputs": ["labl"]']
) | st.sampled_from(
    [
        *(', "params": [0]', ', "x": "data\\""', ', "data": [[1]]', ', "input_data": 5', "]", ","),
        *(', "x": {"data": null}', ', "d\\u0061ta": null', ', "y": "' + "\xff" + '"', "}", '"'),
    ]
)


@st.composite
def bodies(draw: st.DrawFn, data: st.SearchStrategy[str]) -> bytes:
    """Requests, many of them with something wrong."""
    key = draw(st.sampled_from(["data", "data", "data", "input_data", "x"]))
    text = f'{draw(SPACE)}{{{draw(FIRST)}"{key}"{draw(SPACE)}:{draw(data)}{draw(LAST)}}}'
    body = bytearray(text.encode("latin-1"))
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(body) - 1))
        body[at : at + draw(st.integers(0, 2))] = draw(
            st.sampled_from(b'[]{},:"0e-. \\\0\xff')
        ).to_bytes()
    cut = draw(st.integers(0, len(body))) if draw(st.integers(0, 20)) == 20 else len(body)
    return draw(st.sampled_from([b""] * 9 + [b"\xef\xbb\xbf"])) + bytes(body[:cut])


@pytest.mark.usefixtures("sizes")
@settings(max_examples=250)
@given(
    st.sampled_from(["float32", "float64", "float16", "bfloat16", "int8", "int64", "uint8"])
    | st.sampled_from(["uint64", "bool", "float32", "float64"]),
    st.sampled_from([(3,), (1,), (2, 2), (1, 2, 3), (1, 1, 2), (1, 1, 1)]),
    st.booleans(),
    st.data(),
)
def test_numbers_of_a_tensor_are_the_same_from_their_text(
    dtype: str, sizes_: tuple[int, ...], nullable: bool, data: st.DataObject
) -> None:
    schema = tensor(dtype, *sizes_, nullable=nullable)
    rows, leaf = data.draw(st.integers(0, 6)), data.draw(st.sampled_from([GOOD, SMALL]))
    text = arrays(sizes_, leaf) | arrays((rows, *sizes_), leaf)
    agree(schema, data.draw(bodies(text)))


class Slow(Exception):
    """The slow way was taken."""


@pytest.fixture
def no_slow_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise Slow

    monkeypatch.setattr(Schema, "decode", refuse)


def text_of(data: Any, **more: Any) -> bytes:
    return orjson.dumps({"data": data, **more})


@pytest.mark.usefixtures("no_slow_way")
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bfloat16"])
@pytest.mark.parametrize("rows", [1, 2, 5000])
@pytest.mark.parametrize("sizes", [(3,), (1, 2, 3)])
def test_numbers_take_the_quick_way(dtype: str, rows: int, sizes: tuple[int, ...]) -> None:
    schema = tensor(dtype, *sizes)
    numbers = np.arange(rows * np.prod(sizes)).reshape(rows, *sizes) % 100
    assert schema.read(text_of(numbers.tolist())).batch.arrays["x"].tolist() == numbers.tolist()
    single = schema.read(orjson.dumps({"input_data": numbers[0].tolist(), "outputs": ["label"]}))
    assert (single.single, single.bare, single.outputs) == (True, True, ("label",))


@pytest.mark.parametrize("space", [b"", b" "])
@pytest.mark.parametrize("shape", [(60_000, 10), (1, 3, 400, 500), (600_000,), (1, 1, 1, 600_000)])
def test_the_text_of_many_numbers_is_read_in_pieces(
    shape: tuple[int, ...], space: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[int] = []
    whole = numerals._pieces

    def measured(*given: Any) -> Iterator[Any]:
        for piece in whole(*given):
            pieces.append(len(piece))
            yield piece

    def refuse(_: object) -> None:
        raise Slow

    monkeypatch.setattr(numerals, "_pieces", measured)
    monkeypatch.setattr(decode, "loads", refuse)
    numbers = np.random.default_rng(0).random(shape)
    body = text_of(numbers.tolist()).replace(b",", b"," + space).replace(b"]", space + b"]")
    array = tensor("float64", *shape[1:] or shape).read(body).batch.arrays["x"]
    assert array.tobytes() == numbers.tobytes()
    assert len(pieces) >= 3
    assert max(pieces) < 5 * numerals.PIECE_BYTES


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="counts pages as Linux does")
def test_nothing_of_a_large_body_stays_in_memory() -> None:
    schema, body = tensor("float32", 100), text_of([[k / 7 for k in range(100)]] * 20_000)
    schema.read(body)
    before = _resident_bytes()
    for _ in range(3):
        schema.read(body)
    assert _resident_bytes() - before < len(body) / 4
