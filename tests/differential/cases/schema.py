"""Scripts with decorators of inference-schema: bodies that fit and bodies that don't."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.differential.wire import JSON, Case, get, post, post_json, request

_ROWS: Final[list[dict[str, Any]]] = [
    {"age": 1, "income": 2.5, "city": "Bonn", "member": True, "since": "2022-05-06T07:08:09"},
    {"age": 40, "income": 3, "city": None, "member": False, "since": "2023-01-01T00:00:00"},
]
_VALUES: Final[dict[str, Any]] = {
    "count": 1, "rate": 2.5, "label": "b", "is_new": False, "at": "2021-02-03T04:05:06Z",
    "picture": "/+4=",
}  # fmt: skip


def _but(**changed: object) -> bytes:
    return post_json({**_VALUES, **changed})


def _frame(*rows: object) -> bytes:
    return post_json({"frame": list(rows)})


_NUMPY: Final[dict[str, bytes]] = {
    "a matrix": post_json({"data": [[1, 2], [3, 4]]}),
    "one row": post_json({"data": [[0.5, 1]]}),
    "no rows": post_json({"data": []}),
    "too few columns": post_json({"data": [[1]]}),
    "a ragged matrix": post_json({"data": [[1, 2], [3]]}),
    "a vector": post_json({"data": [1, 2]}),
    "text that is a number": post_json({"data": [["1", "2"]]}),
    "text": post_json({"data": [["a", "b"]]}),
    "null": post_json({"data": [[None, 1]]}),
    "no list": post_json({"data": "x"}),
    "null for all": post_json({"data": None}),
    "NaN tokens": post(b'{"data": [[NaN, Infinity]]}', JSON),
    "extra keys": post_json({"data": [[1, 2]], "extra": 1, "request_headers": {}}),
    "no key": post_json({"other": 1}),
    "another case of the key": post_json({"Data": [[1, 2]]}),
    "an empty object": post(b"{}", JSON),
    "an empty body": post(b"", JSON),
    "only spaces": post(b"  ", JSON),
    "no JSON": post(b"data", JSON),
    "cut JSON": post(b'{"data": [[1, 2]', JSON),
    "more after the JSON": post(b'{"data": [[1, 2]]} x', JSON),
    "a key twice": post(b'{"data": 1, "data": [[1, 2]]}', JSON),
    "a list": post(b"[[1, 2]]", JSON),
    "null as body": post(b"null", JSON),
    "a JSON string": post(json.dumps('{"data": [[1, 2]]}').encode(), JSON),
    "not UTF-8": post(b'{"data": "\xff"}', JSON),
    "UTF-16": post('{"data": [[1, 2]]}'.encode("utf-16"), JSON),
    "a byte order mark": post(b'\xef\xbb\xbf{"data": [[1, 2]]}', JSON),
    "no content type": post(b'{"data": [[1, 2]]}'),
    "text/plain": post(b'{"data": [[1, 2]]}', ("Content-Type", "text/plain")),
    "a form": post(b'{"data": [[1, 2]]}', ("Content-Type", "application/x-www-form-urlencoded")),
    "a charset": post(b'{"data": [[1, 2]]}', ("Content-Type", "application/json; charset=utf-8")),
    "a JSON suffix": post(b'{"data": [[1, 2]]}', ("Content-Type", "application/ld+json")),
    "a content type in capitals": post(b'{"data": [[1, 2]]}', ("Content-Type", "APPLICATION/JSON")),
    "no JSON and no content type": post(b"data"),
    "GET": get("/score?data=[[1,2]]"),
    "GET with rows as keys": get("/score?data=[1,2]&data=[3,4]"),
    "GET without the key": get("/score?x=1"),
    "GET with text": get("/score?data=x"),
    "OPTIONS": request("OPTIONS", "/score", None),
    "HEAD": request("HEAD", "/score", None),
    "1 MB": post_json({"data": [[1.25, 2.5]] * 70_000, "more": "z" * 10_000}),
}
_PANDAS: Final[dict[str, bytes]] = {
    "records": _frame(*_ROWS),
    "a mode": post_json({"frame": _ROWS[:1], "mode": "other"}),
    "a mode of another type": post_json({"frame": _ROWS[:1], "mode": 5}),
    "an empty mode": post_json({"frame": _ROWS[:1], "mode": ""}),
    "columns in another order": _frame(dict(reversed(_ROWS[0].items()))),
    "a column too few": _frame({"age": 1}),
    "a column too many": _frame({**_ROWS[0], "more": 1}),
    "text in a number column": _frame({**_ROWS[0], "age": "x"}),
    "text that is a number": _frame({**_ROWS[0], "age": "12"}),
    "a float in an integer column": _frame({**_ROWS[0], "age": 1.5}),
    "null in an integer column": _frame({**_ROWS[0], "age": None}),
    "a date that is none": _frame({**_ROWS[0], "since": "tomorrow"}),
    "split": post_json({"frame": {"columns": list(_ROWS[0]), "data": [list(_ROWS[0].values())]}}),
    "no rows": _frame(),
    "one object": post_json({"frame": _ROWS[0]}),
    "text": post_json({"frame": "x"}),
    "no frame": post_json({"mode": "rows"}),
}
_STANDARD: Final[dict[str, bytes]] = {
    "all": _but(tags=["z"]),
    "a default": _but(),
    "a whole number for a float": _but(rate=1),
    "a float for a whole number": _but(count=1.5),
    "true for a whole number": _but(count=True),
    "text for a number": _but(count="1"),
    "a number for a text": _but(label=1),
    "null": _but(label=None),
    "a date": _but(at="3 Feb 2021 04:05"),
    "a date that is none": _but(at="never"),
    "base64 that is none": _but(picture="%"),
    "no list": _but(tags="x"),
    "a list of others": _but(tags=[1, None]),
    "several missing": post_json({"count": 1}),
    "request_headers in the body": _but(request_headers={"User-Agent": "body"}),
    "a user agent": post_json(_VALUES, ("User-Agent", "agent")),
    "GET": get("/score?count=1&rate=1.5&label=b&is_new=true&at=2021-01-01&picture=AAE%3D"),
    "GET with a number for a text": get(
        "/score?count=1&rate=1&label=7&is_new=true&at=2021-01-01&picture=AAE%3D"
    ),
}
_FRAME_ROWS: Final[list[dict[str, Any]]] = [{"a": 2, "b": 1.5}]
_NESTED: Final[dict[str, bytes]] = {
    "all": post_json(
        {
            "Inputs": {
                "frame": _FRAME_ROWS, "matrix": [[3, 4]], "options": {"depth": 1}, "note": "n",
                "several": [_FRAME_ROWS, _FRAME_ROWS],
            },
            "GlobalParameters": 0.5,
        }
    ),
    "only some": post_json({"Inputs": {"frame": _FRAME_ROWS}, "GlobalParameters": 1}),
    "no parameters": post_json({"Inputs": {"note": "n"}}),
    "unknown names": post_json({"Inputs": {"unknown": 1}, "GlobalParameters": 1.0}),
    "a wrong depth": post_json({"Inputs": {"options": {"depth": "deep"}}, "GlobalParameters": 1.0}),
    "a wrong shape": post_json({"Inputs": {"matrix": [[1]]}, "GlobalParameters": 1.0}),
    "a list": post_json({"Inputs": [1], "GlobalParameters": 1.0}),
}  # fmt: skip
_MIXED: Final[dict[str, bytes]] = {
    "any list": post_json({"row": [None, {}, 5]}),
    "no list": post_json({"row": 1}),
}

_TABLES: Final = {
    "numpy": _NUMPY, "pandas": _PANDAS, "standard": _STANDARD, "nested": _NESTED, "mixed": _MIXED
}  # fmt: skip
CASES: Final = tuple(
    Case(service, name, sent) for service, told in _TABLES.items() for name, sent in told.items()
)
