"""Bodies of requests, right and wrong, and whether both ways of reading them say the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from app.errors import ServingError
from app.schema import Schema
from app.schema.document import loads
from app.tensors import Call

SPACE = st.sampled_from(["", "", "", " ", "\n", "\t ", "\r\n"])
FIRST = st.sampled_from(["", "", "", '"model_name": "a", ', '"outputs": null,', '"data": 1, '])
LAST = st.sampled_from(
    ["", "", "", "", ', "outputs": ["label"]', ', "params": {}', ', "outputs": ["labl"]']
) | st.sampled_from(
    [
        *(', "params": [0]', ', "x": "data\\""', ', "data": [[1]]', ', "input_data": 5', "]", ","),
        *(', "x": {"data": null}', ', "d\\u0061ta": null', ', "y": "' + "\udcff" + '"', "}", '"'),
    ]
)


@st.composite
def bodies(draw: st.DrawFn, data: st.SearchStrategy[str]) -> bytes:
    """Requests, many of them with something wrong."""
    key = draw(st.sampled_from([*["data"] * 6, *["input_data"] * 3, "x"]))
    first, last = draw(FIRST | st.just("")), draw(st.one_of(st.just(""), st.just(""), LAST))
    text = f'{draw(SPACE)}{{{first}"{key}"{draw(SPACE)}:{draw(data)}{last}}}'
    body = bytearray(text.encode("utf-8", "surrogateescape"))
    for _ in range(draw(st.sampled_from([0] * 8 + [1, 2]))):
        at = draw(st.integers(0, len(body) - 1))
        body[at : at + draw(st.integers(0, 2))] = draw(
            st.sampled_from(b'[]{},:"0e-. \\\0\xff')
        ).to_bytes()
    cut = draw(st.integers(0, len(body))) if draw(st.integers(0, 20)) == 20 else len(body)
    return draw(st.sampled_from([b""] * 9 + [b"\xef\xbb\xbf"])) + bytes(body[:cut])


def told(work: Callable[[], Call]) -> Any:
    """All that there is to know of a call, or of an error."""
    try:
        call = work()
    except ServingError as error:
        return type(error), error.message, getattr(error, "faults", ())
    arrays = [(n, a.dtype, a.shape, _content(a)) for n, a in call.batch.arrays.items()]
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
