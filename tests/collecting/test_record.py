"""A request and its answer as a line: what the client would read, less what is hidden."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from app.collecting.record import TEXT_BYTES, Record, Texts
from app.collecting.rule import Rule
from app.tensors import Array, RawBatch, RawRequest, Reply
from tests.collecting.made import REF, SALT, line, record

NUMBERS = arrays.arrays(
    st.sampled_from(["float64", "float32", "int64", "uint8", "bool", ">f8"]),
    arrays.array_shapes(max_dims=3, max_side=4),
)
PEOPLE = {"name": np.array(["Ada", "Bob"], object), "age": np.array([36, 7])}


def texts(request: bytes, answer: Any, *, query: bytes = b"", status: int = 200) -> dict[str, Any]:
    asked = RawRequest("POST", "/score", query, (), request)
    content = Texts.of(RawBatch.of_request(asked), Reply(status, (), answer))
    return line(Record(0, b"id", REF, content, 1))


def test_a_line_tells_when_who_and_what() -> None:
    made = record(PEOPLE, {"y": np.array([1, 0])}, request_id=b"a-1", time_s=1_700_000_000.25)

    assert line(made) == {
        "time": "2023-11-14T22:13:20.250Z",
        "request_id": "a-1",
        "model": "churn",
        "version": "2",
        "rows": 2,
        "inputs": {"name": ["Ada", "Bob"], "age": [36, 7]},
        "outputs": {"y": [1, 0]},
    }


@given(st.floats(0, 4e9))
def test_a_line_lies_in_the_folder_of_its_hour(time_s: float) -> None:
    made = record(time_s=time_s)

    at = datetime.fromtimestamp(math.floor(time_s), UTC)
    assert made.folder == f"churn/2/{at:%Y/%m/%d/%H}"
    assert line(made)["time"].startswith(f"{at:%Y-%m-%dT%H:%M:%S}.")


@given(NUMBERS, st.binary(max_size=20))
def test_numbers_are_those_that_the_client_read(values: Array, request_id: bytes) -> None:
    told = line(record({"x": values}, {"y": values}, request_id=request_id))

    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    read = orjson.loads(orjson.dumps(native, option=orjson.OPT_SERIALIZE_NUMPY))
    assert told["inputs"] == {"x": read}
    assert told["outputs"] == {"y": read}


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (np.array([1.5, np.nan, np.inf]), [1.5, None, None]),
        (np.array([0.1], np.float32), [0.1]),
        (np.array(['a\n"b', None], object), ['a\n"b', None]),
        (np.array(["2024-01-31T08:00"], "datetime64[us]"), ["2024-01-31T08:00:00.000000"]),
        (np.array([{"1": 0.5}], object), [{"1": 0.5}]),
        (np.asfortranarray([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        ([{0: 0.5}, {0: 0.25}], [{"0": 0.5}, {"0": 0.25}]),
    ],
)
def test_other_values_are_too(values: Any, read: list[Any]) -> None:
    assert line(record(outputs={"y": values}))["outputs"] == {"y": read}


def test_columns_are_dropped_or_hashed_by_their_names() -> None:
    rule = Rule("", drop=frozenset({"age", "score"}), hash=frozenset({"name"}), salt=SALT)
    outputs = {"y": np.array([1, 0]), "score": np.array([0.9, 0.1])}

    told = line(record(PEOPLE, outputs, rule, asked=("y", "score")))

    assert told["inputs"] == {"name": rule.hashed(PEOPLE["name"])}
    assert told["outputs"] == {"y": [1, 0]}
    assert b"Ada" not in orjson.dumps(told)


@pytest.mark.parametrize("listed", ["label", "output_label"])
@pytest.mark.parametrize("asked", [None, ("label",), ("output_label",)])
def test_a_name_hides_the_output_whatever_it_was_asked_by(
    listed: str, asked: tuple[str, ...] | None
) -> None:
    rule = Rule("", drop=frozenset({listed}))
    outputs = {"output_label": np.array([1])}

    assert line(record(None, outputs, rule, asked=asked, label="output_label"))["outputs"] == {}


def test_texts_of_a_script_are_kept_as_they_are() -> None:
    told = texts('{"data": "Zürich"}'.encode(), b'"ok"', query=b"a=1", status=201)

    assert told["inputs"] == '{"data": "Zürich"}'
    assert (told["outputs"], told["query"], told["status"]) == ('"ok"', "a=1", 201)
    assert "cut" not in told


@pytest.mark.parametrize("before", range(4))
def test_long_texts_are_cut_between_characters(before: int) -> None:
    text = "x" * before + "€" * TEXT_BYTES

    told = texts(text.encode(), text.encode())

    assert told["cut"] == ["inputs", "outputs"]
    assert told["inputs"] == told["outputs"]
    assert text.startswith(told["inputs"])
    assert TEXT_BYTES - 3 < len(told["inputs"].encode()) <= TEXT_BYTES


@pytest.mark.parametrize("answer", [b"\x89PNG\r\n\xff", object()])
def test_what_is_no_text_or_comes_in_parts_is_null(answer: Any) -> None:
    assert texts(b"\xff\xd8\xff", answer)["inputs"] is None
    assert texts(b"", answer)["outputs"] is None
