"""Scripts that take the request itself."""

from __future__ import annotations

from typing import Final

from tests.differential.wire import JSON, Case, get, post, request

_FORM: Final = ("Content-Type", "application/x-www-form-urlencoded")
_MULTIPART: Final = (
    b'--line\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    b'--line\r\nContent-Disposition: form-data; name="f"; filename="n.csv"\r\n'
    b"Content-Type: text/csv\r\n\r\nx,y\r\n--line--\r\n"
)

_TOLD: Final[dict[str, bytes]] = {
    "POST": post(b'{"a": [1]}', JSON, ("X-Own", "1")),
    "GET": get("/score?a=1&a=2&b=%E2%98%83", ("Cookie", "k=v; l=w"), ("Accept", "text/html")),
    "GET without a query": get("/score"),
    "PUT": request("PUT", "/score", b"x"),
    "DELETE": request("DELETE", "/score"),
    "PATCH": request("PATCH", "/score", b"x"),
    "OPTIONS": request("OPTIONS", "/score"),
    "HEAD": request("HEAD", "/score"),
    "a form": post(b"a=1&a=2&b=%C3%BC", _FORM),
    "a form as JSON": post(b'{"a": 1}', _FORM),
    "a file": post(_MULTIPART, ("Content-Type", "multipart/form-data; boundary=line")),
    "bytes": post(bytes(range(256)), ("Content-Type", "application/octet-stream")),
    "no content type": post(b"\xff\xfe"),
    "no body": request("POST", "/score", None),
    "broken JSON": post(b"{", JSON),
    "a credential": post(b"", ("Authorization", "Basic dXNlcjpwYXNz")),
    "a charset": post("ü".encode("latin-1"), ("Content-Type", "text/plain; charset=latin-1")),
}
_CHOSEN: Final[dict[str, bytes]] = {
    "the body as text": post("ü".encode(), path="/score?answer=text"),
    "text of a body that is not UTF-8": post(b"\xff", path="/score?answer=text"),
    "JSON": post(b'{"a": 1}', JSON, path="/score?answer=json"),
    "JSON without a content type": post(b'{"a": 1}', path="/score?answer=json"),
    "JSON that is broken": post(b"{", JSON, path="/score?answer=json"),
    "JSON whatever the content type": post(b'{"a": 1}', path="/score?answer=object"),
    "nothing": post(b"", path="/score?answer=none"),
    "a status of its own": post(b"", path="/score?answer=teapot"),
    "a stream": post(b"", path="/score?answer=stream"),
    "a stream to GET": get("/score?answer=stream"),
    "a stream to HEAD": request("HEAD", "/score?answer=stream"),
    "an exception": post(b"", path="/score?answer=raise"),
    "a query key that is missing": get("/score?answer=missing"),
}

CASES: Final = (
    *(Case("raw", f"tells of {name}", sent) for name, sent in _TOLD.items()),
    *(Case("raw", f"answers {name}", sent) for name, sent in _CHOSEN.items()),
)
