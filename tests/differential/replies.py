"""What two replies to the same request must have in common: all but what is named here."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from tests.differential.wire import Reply

# What the connection and the clock bring, whoever answers.
IGNORED_HEADERS: Final = frozenset({"date", "server", "connection", "keep-alive"})
# Headers of which only the form is the same.
FORMS: Final[Mapping[str, tuple[re.Pattern[str], str]]] = {
    "x-ms-run-fn-exec-ms": (re.compile(r"\d+\.\d{3}"), "<milliseconds>"),
    "x-ms-server-version": (re.compile(r"[a-z-]+/\d[\w.]*"), "<name/version>"),
}
# Headers whose value is a set, told in any order.
SETS: Final = frozenset({"allow"})
IDS: Final = ("x-request-id", "x-ms-request-id", "x-ms-client-request-id")
LONGEST_BODY: Final = 4_000

_UUID4: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})

# (service, case) -> why the two differ there, as docs/protocols.md says.
_FORM: Final = "a body is handed on whatever its content type, so that curl --data works"
_PAGE: Final = "a script that ends, or gives what cannot be sent, is told in the usual form"
ACCEPTED: Final[Mapping[tuple[str, str], str]] = {
    ("plain", "given a form content type as curl sends it"): _FORM,
    ("plain", "given a form"): _FORM,
    ("plain", "given a multipart form"): _FORM,
    ("plain", "response number"): _PAGE,
    ("plain", "ends its process: raise base"): _PAGE,
    ("plain", "ends its process: exit"): _PAGE,
    ("plain", "ends its process: exit 0"): _PAGE,
    ("plain", "ends its process: interrupt"): _PAGE,
    ("plain", "ends its process: kill"): _PAGE,
    ("plain", "HEAD /swagger.json"): "descriptions, which are our own, have other lengths",
    ("asynchronous", "a coroutine is called"): "run() may be async",
}


def normalised(reply: Reply) -> dict[str, Any]:
    """The reply as JSON, without what is never the same twice."""
    if not reply.status:
        return {"status": 0}
    told: dict[str, Any] = {
        "status": reply.status,
        "headers": dict(sorted(_headers(reply).items())),
        **_body(reply.body),
    }
    if reply.is_cut:
        told["is_cut"] = True
    return told


def without_descriptions(document: Any) -> Any:
    """Sentences for people are each server's own."""
    if isinstance(document, dict):
        return {k: without_descriptions(v) for k, v in document.items() if k != "description"}
    if isinstance(document, list):
        return [without_descriptions(each) for each in document]
    return document


def differences(original: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """A line for each thing in which they differ."""
    keys = sorted({*original, *other} - {"headers"})
    found = [_line(key, original, other) for key in keys if original.get(key) != other.get(key)]
    first, second = original.get("headers", {}), other.get("headers", {})
    names = sorted({*first, *second})
    return found + [_line(n, first, second) for n in names if first.get(n) != second.get(n)]


def _line(key: str, original: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    return f"{key}: {original.get(key)!r} of the original, {other.get(key)!r} here"


def _headers(reply: Reply) -> dict[str, list[str]]:
    """Name in lower case -> its values, in their order."""
    told: dict[str, list[str]] = {}
    marks: dict[str, str] = {}
    for name, value in reply.headers:
        lower = name.lower()
        if lower in IGNORED_HEADERS or (lower in _FRAMING and _fits(reply)):
            continue
        told.setdefault(lower, []).append(_value(lower, value, marks))
    return told


def _fits(reply: Reply) -> bool:
    """Whether the body has the length that was told, which of sentences nobody compares; a stream
    tells none."""
    lengths = [value for name, value in reply.headers if name.lower() == "content-length"]
    return all(int(length) == len(reply.body) for length in lengths)


def _value(name: str, value: str, marks: dict[str, str]) -> str:
    """The value; where it was made up, its form and which others are the same."""
    if name in FORMS:
        form, mark = FORMS[name]
        return mark if form.fullmatch(value) else value
    if name in SETS:
        return ", ".join(sorted(word.strip() for word in value.split(",")))
    if name in IDS and _UUID4.fullmatch(value):
        return marks.setdefault(value, f"<generated {len(marks) + 1}>")
    return value


def _body(body: bytes) -> dict[str, Any]:
    if body.startswith((b'{"swagger"', b'{"openapi"')):
        body = json.dumps(without_descriptions(json.loads(body))).encode()
    if len(body) > LONGEST_BODY:
        return {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}
