"""The headers that name a request."""

from __future__ import annotations

from itertools import product
from typing import Final

from tests.differential.wire import Case, get, post_json, request

_NAMES: Final = ("x-request-id", "x-ms-request-id", "x-ms-client-request-id")
_LONG: Final = "l" * 101
_JUST: Final = "j" * 100


def _case(name: str, *headers: tuple[str, str]) -> Case:
    return Case("plain", f"ids: {name}", post_json({}, *headers))


def _table() -> tuple[Case, ...]:
    """Each of the three names there or not."""
    found = []
    for present in product((False, True), repeat=3):
        given = [(n, v) for n, v, there in zip(_NAMES, "ABC", present, strict=True) if there]
        found.append(_case(" and ".join(n for n, _ in given) or "none", *given))
    return tuple(found)


CASES: Final = (
    *_table(),
    *(_case(f"{name} of 101 characters", (name, _LONG)) for name in _NAMES),
    *(_case(f"{name} of 100 characters", (name, _JUST)) for name in _NAMES),
    *(_case(f"{name} is empty", (name, "")) for name in _NAMES),
    _case("all of 101 characters", *((name, _LONG) for name in _NAMES)),
    _case("too long beside a good one", ("x-request-id", "A"), ("x-ms-client-request-id", _LONG)),
    _case("a good legacy id beside a long one", ("x-ms-request-id", "B"), (_NAMES[2], _LONG)),
    _case("upper case", ("X-REQUEST-ID", "A"), ("X-MS-CLIENT-REQUEST-ID", "C")),
    _case("given twice", ("x-request-id", "A"), ("x-request-id", "B")),
    _case("not ASCII", ("x-request-id", "ü")),
    _case("TraceId", ("TraceId", "T")),
    _case("TraceId is empty", ("TraceId", "")),
    Case("plain", "ids: on /", get("/", ("x-request-id", "A"))),
    Case("plain", "ids: too long on /", get("/", ("x-request-id", _LONG))),
    Case("plain", "ids: on an unknown route", get("/no", ("x-request-id", "A"), ("TraceId", "T"))),
    Case(
        "plain",
        "ids: on a method that is not allowed",
        request("PUT", "/score", b"", (_NAMES[0], "A")),
    ),
    Case(
        "plain",
        "ids: on a swagger that is not there",
        get("/swagger.json?version=9", (_NAMES[1], "B")),
    ),
    Case(
        "plain",
        "ids: on a failing script",
        post_json({"answer": "raise"}, (_NAMES[0], "A"), (_NAMES[2], "C")),
    ),
)
