"""`Schema.read`: from the bytes, by the quick ways, what the document gives by the slow one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.schema import Schema, decode, numerals
from app.tensors import Signature, TensorSpec
from tests.bodies import SPACE, agree, bodies

OUT = (TensorSpec("label", "int64", (None,)), TensorSpec("scores", "float32", (None, 2)))


def of(*inputs: TensorSpec) -> Schema:
    return Schema(Signature(inputs, OUT, result="label"))


def tensor(dtype: str, *sizes: int, nullable: bool = False) -> Schema:
    return of(TensorSpec("x", dtype, (None, *sizes), nullable=nullable))


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


@st.composite
def arrays(draw: st.DrawFn, sizes: tuple[int, ...], leaf: st.SearchStrategy[str]) -> str:
    """The text of nested lists, mostly of those sizes, mostly of numbers."""
    if not sizes or draw(st.integers(0, 100)) == 99:
        return draw(SPACE) + draw(ODD if draw(st.integers(0, 80)) == 79 else leaf) + draw(SPACE)
    size = sizes[0] + (draw(st.sampled_from([-1, 1])) if draw(st.integers(0, 80)) == 79 else 0)
    inner = ",".join(draw(arrays(sizes[1:], leaf)) for _ in range(size))
    return f"{draw(SPACE)}[{inner}]{draw(SPACE)}"


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
@pytest.mark.parametrize(
    "shape", [(60_000, 10), (1, 3, 400, 500), (600_000,), (1, 1, 1, 600_000), (2, 2, 700, 300)]
)
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
        raise AssertionError

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
