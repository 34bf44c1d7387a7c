"""`app.protocols.pieces`: the same document, or the same refusal, as orjson gives."""

from __future__ import annotations

import random

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.protocols import pieces

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text('a"\\[]{},: é', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 16)
    monkeypatch.setattr(pieces, "_LARGE_BYTES", 40)


@given(
    data=st.lists(JSON, max_size=30) | st.lists(st.text('a"\\[]{},', max_size=9), max_size=30),
    key=st.sampled_from(["data", "input_data", "x"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=100)
def test_pieces_make_the_document_that_the_whole_makes(
    data: list[object], key: str, seed: int
) -> None:
    rows = data * 3
    document = {key: rows, "outputs": ["label"]} if seed % 2 else {key: rows}
    body = orjson.dumps(document, option=orjson.OPT_INDENT_2 if seed % 3 else None)
    assert pieces.loads(body) == document


@given(data=st.lists(JSON, min_size=5, max_size=30), seed=st.integers(0, 10**6))
@settings(max_examples=100)
def test_a_broken_body_is_refused_with_the_place_in_the_whole(
    data: list[object], seed: int
) -> None:
    body = bytearray(orjson.dumps({"data": data * 3}))
    body[random.Random(seed).randrange(len(body))] = random.Random(seed).choice(b'[]{},:"1x')
    assert _read(pieces.loads, bytes(body)) == _read(orjson.loads, bytes(body))


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":[[1],[2],[3],[4],[5],[6],[7],[8],[9],[10],[11],[12]],"data":[[0]]}',
        b'{"data":[[1],[2],[3],[4],[5],[6],[7],[8],[9],[10],[11],[12]],"x":[[1],[2],[3],[4]]}',
        b'{"data":["],[","],[","],[","],[","],[","],[","],[","],[","],[","],["]}',
        b'{"data":[[1],[2],[3],[4],[5],[6],[7],[8],[9],[10],[11],[12]]}}',
    ],
)
def test_what_looks_like_the_end_of_a_record_is_not_taken_for_one(body: bytes) -> None:
    assert _read(pieces.loads, body) == _read(orjson.loads, body)


def test_a_table_is_read_in_pieces_of_some_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.undo()
    whole = orjson.loads

    def measured(text: bytes) -> object:
        sizes.append(len(text))
        return whole(text)

    monkeypatch.setattr(orjson, "loads", measured)
    for rows in ([[k / 7, k] for k in range(200_000)], ["a, b"] * 400_000, [{"a": 1.5}] * 300_000):
        pieces.loads(orjson.dumps({"data": rows}))
    assert len(sizes) > 30
    assert max(sizes) < 2.5 * pieces.PIECE_BYTES


def _read(loads: object, body: bytes) -> object:
    assert callable(loads)
    try:
        return loads(body)
    except orjson.JSONDecodeError as error:
        return str(error)
