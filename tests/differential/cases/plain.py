"""Undecorated scripts: what run() is given, for every kind of body and query."""

from __future__ import annotations

from typing import Final

from tests.differential.wire import JSON, Case, get, post, post_json, request

_FORM: Final = ("Content-Type", "application/x-www-form-urlencoded")
_CHUNKED: Final = (
    b"POST /score HTTP/1.1\r\nHost: service.example\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'6\r\n{"data\r\n8\r\n": [1]}\n\r\n0\r\n\r\n'
)
_MULTIPART: Final = b'--line\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--line--\r\n'

_POSTED: Final[dict[str, bytes]] = {
    "a JSON object": post_json({"data": [[1, 2]]}),
    "text that is no JSON": post(b"not JSON", JSON),
    "an empty body": post(b"", JSON),
    "no body": request("POST", "/score", None, JSON),
    "only spaces": post(b" \n ", JSON),
    "a JSON list": post(b"[1, 2]", JSON),
    "a JSON string": post(b'"text"', JSON),
    "no content type": post(b'{"data": 1}'),
    "an unknown content type": post(b"<data/>", ("Content-Type", "application/xml")),
    "text/plain": post(b"words", ("Content-Type", "text/plain; charset=utf-8")),
    "another charset": post(
        "größe".encode("latin-1"), ("Content-Type", "text/plain; charset=latin-1")
    ),
    "a form content type as curl sends it": post(b'{"data": [1]}', _FORM),
    "a form": post(b"a=1&b=2", _FORM),
    "a multipart form": post(_MULTIPART, ("Content-Type", "multipart/form-data; boundary=line")),
    "not UTF-8": post(b'{"data": "\xff\xfe"}', JSON),
    "a byte order mark": post(b'\xef\xbb\xbf{"data": 1}', JSON),
    "unicode": post('{"data": "größe ☃ 😀"}'.encode(), JSON),
    "NaN tokens": post(b"[NaN, Infinity, -Infinity]", JSON),
    "a zero byte": post(b"a\x00b", JSON),
    "a body of 1 MB": post(b'{"answer": "none", "more": "' + b"z" * 1_000_000 + b'"}', JSON),
    "a chunked body": _CHUNKED,
    "a compressed body is not unpacked": post(
        b"\x1f\x8b\x08\x00", JSON, ("Content-Encoding", "gzip")
    ),
    "a query beside the body": post_json({"data": 1}, path="/score?verbose=true&a=b"),
    "a credential that nobody asked for": post_json(1, ("Authorization", "Bearer anything")),
    "HTTP/1.0": request("POST", "/score", b'{"data": 1}', JSON, version="1.0"),
    "a body that waits for 100-continue": post(b"{}", JSON, ("Expect", "100-continue")),
}

_QUERIES: Final[dict[str, str]] = {
    "no query": "/score",
    "an empty query": "/score?",
    "JSON values": "/score?a=1&b=[1,2]&c=null&d=true&e=%22text%22&f=1.50",
    "text": "/score?data=plain%20text+plus",
    "repeated keys": "/score?a=1&a=x&b=2&a=null",
    "an empty value": "/score?a=&b",
    "no key": "/score?=1",
    "a JSON object": "/score?data=%7B%22x%22%3A%20%5B1%5D%7D",
    "unicode": "/score?gr%C3%B6%C3%9Fe=%E2%98%83",
    "bytes that are not UTF-8": "/score?a=%ff",
    "a semicolon": "/score?a=1;b=2",
    "NaN": "/score?a=NaN&b=-Infinity",
    "an answer to choose": "/score?answer=list",
}

CASES: Final = (
    *(Case("plain", f"given {name}", sent) for name, sent in _POSTED.items()),
    *(Case("plain", f"GET with {name}", get(path)) for name, path in _QUERIES.items()),
    Case("plain", "GET with a body", request("GET", "/score?a=1", b'{"b": 2}', JSON)),
    Case("defaults", "only the first parameter is given", post(b"[1]", JSON)),
    Case("defaults", "query keys are not parameters", get("/score?threshold=1&data=2")),
    Case("asynchronous", "a coroutine is called", post(b"[1]", JSON)),
    Case(
        "headers",
        "names are title-cased",
        post(b"x", ("content-type", "text/plain"), ("x-my-header", "One"), ("X-LOUD", "yes")),
    ),
    Case("headers", "repeated names", post(b"x", ("X-Two", "a"), ("x-two", "b"))),
    Case(
        "headers", "an empty value and one that is not ASCII", post(b"", ("X-E", ""), ("X-U", "ü"))
    ),
    Case("headers", "underscores", post(b"", ("x_under", "a"), ("x-under", "b"))),
    Case("headers", "GET", get("/score?a=1", ("X-My-Header", "1"), ("Accept", "*/*"))),
    Case("headers", "ids", post(b"", ("x-request-id", "A"), ("x-ms-request-id", "B"))),
    Case("package", "another entry in a folder below", post(b"1", JSON)),
)
