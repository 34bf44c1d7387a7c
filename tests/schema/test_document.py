"""`app.schema.document`: the same document, or the same refusal, as orjson gives."""

from __future__ import annotations

import random
import re

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import BadRequest
from app.schema import document

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text('a"\\[]{},: é', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "PIECE_BYTES", 16)
    monkeypatch.setattr(document, "_LARGE_BYTES", 40)


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
    wanted = {key: rows, "outputs": ["label"]} if seed % 2 else {key: rows}
    body = orjson.dumps(wanted, option=orjson.OPT_INDENT_2 if seed % 3 else None)
    assert document.loads(body) == wanted


@given(data=st.lists(JSON, min_size=5, max_size=30), seed=st.integers(0, 10**6))
@settings(max_examples=100)
def test_a_broken_body_is_refused_with_the_place_in_the_whole(
    data: list[object], seed: int
) -> None:
    body = bytearray(orjson.dumps({"data": data * 3}))
    body[random.Random(seed).randrange(len(body))] = random.Random(seed).choice(b'[]{},:"1x')
    assert _read(bytes(body)) == _whole(bytes(body))


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":[[1],[2],[3],[4],[5],[6],[7],[8],[9],[10],[11],[12]],"data":[[0]]}',
        b'{"data":[[1],[2],[3],[4],[5],[6],[7],[8],[9],[10],[11],[12]],"x":[[1],[2],[3],[4]]}',
        b'\x0c{"data":[[1],[2],[3],[4],[5],[6],[7],[8],[9],[10],[11],[12],[13]]}',
        b'{"data":["],[","],[","],[","],[","],[","],[","],[","],[","],[","],["]}',
        b'{"data":[[1],[2],[3],[4],[5],[6],[7],[8],[9],[10],[11],[12]]}}',
    ],
)
def test_what_looks_like_the_end_of_a_record_is_not_taken_for_one(body: bytes) -> None:
    assert _read(body) == _whole(body)


def test_a_table_is_read_in_pieces_of_some_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.undo()
    whole = orjson.loads

    def measured(text: bytes) -> object:
        sizes.append(len(text))
        return whole(text)

    monkeypatch.setattr(orjson, "loads", measured)
    for rows in ([[k / 7, k] for k in range(200_000)], ["a, b"] * 400_000, [{"a": 1.5}] * 300_000):
        document.loads(orjson.dumps({"data": rows}))
    assert len(sizes) > 30
    assert max(sizes) < 2.5 * document.PIECE_BYTES


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", 'the body is empty; send {"data": ...}'),
        (b" ", "(line 1, column 1)"),
        (b'{"data":\n 1', "(line 2, column 3)"),
        (b'{"data": NaN}', "NaN and Infinity are not JSON; send null"),
        (b'{"data": [1, -Infinity]}', "NaN and Infinity are not JSON; send null"),
        (b'\xef\xbb\xbf{"data": 1}', "the body is not JSON"),
        (b'{"data": "\xff"}', "the body is not JSON"),
        (b'{"data": ' + b"[" * 2000, "the body is not JSON"),
    ],
)
def test_text_that_is_no_json_is_refused_with_its_place(body: bytes, told: str) -> None:
    with pytest.raises(BadRequest) as caught:
        document.loads(body)
    assert told in caught.value.message


def _whole(body: bytes) -> object:
    """As if the body were small."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return f"{error.lineno} {error.colno} {error.msg}"


def _read(body: bytes) -> object:
    try:
        return document.loads(body)
    except BadRequest as error:
        found = re.fullmatch(
            r"the body is not JSON: (.*) \(line (\d+), column (\d+)\)", error.message
        )
        assert found is not None
        return f"{found[2]} {found[3]} {found[1]}"
