"""Routes, methods and cross-origin requests."""

from __future__ import annotations

from typing import Final

from tests.differential.wire import JSON, Case, get, post, post_json, request

_ONE: Final = ("Origin", "https://one.example")
_ASKS: Final = ("Access-Control-Request-Method", "POST")
_ASKS_HEADERS: Final = ("Access-Control-Request-Headers", "content-type, x-own")

_PATHS: Final = (
    "/", "//", "/?a=1", "/score/", "//score", "/score//", "/Score", "/score/x", "/swagger.json/",
    "/unknown", "/%73core?a=1", "/score%2F", "/./score?a=1", "/favicon.ico", "/static/x",
)  # fmt: skip
_METHODS: Final = (
    *(("HEAD", path) for path in ("/", "/score", "/swagger.json", "/unknown")),
    *(("OPTIONS", path) for path in ("/", "/score", "/swagger.json", "/unknown", "*")),
    *(("PUT", path) for path in ("/", "/score", "/swagger.json", "/unknown")),
    *(("DELETE", "/score"), ("PATCH", "/score"), ("TRACE", "/score"), ("PROPFIND", "/score")),
    *(("POST", "/"), ("POST", "/swagger.json"), ("POST", "/score/"), ("POST", "//score")),
)

_ORIGINS: Final[dict[str, bytes]] = {
    "POST": post_json([1], _ONE),
    "POST from the second origin": post_json([1], ("Origin", "https://two.example")),
    "POST from another origin": post_json([1], ("Origin", "https://three.example")),
    "POST from an origin in capitals": post_json([1], ("Origin", "HTTPS://ONE.example")),
    "POST without an origin": post_json([1]),
    "POST that fails": post_json({"answer": "raise"}, _ONE),
    "POST that is refused": post(b"\xff", JSON, _ONE),
    "GET": get("/score?a=1", _ONE),
    "GET /": get("/", _ONE),
    "GET /swagger.json": get("/swagger.json?version=9", _ONE),
    "an unknown route": get("/unknown", _ONE),
    "a method that is not allowed": request("PUT", "/score", b"", _ONE),
    "preflight": request("OPTIONS", "/score", None, _ONE, _ASKS, _ASKS_HEADERS),
    "preflight for a method that is not allowed": request(
        "OPTIONS", "/score", None, _ONE, ("Access-Control-Request-Method", "DELETE")
    ),
    "preflight without headers": request("OPTIONS", "/score", None, _ONE, _ASKS),
    "preflight without a method": request("OPTIONS", "/score", None, _ONE),
    "preflight without an origin": request("OPTIONS", "/score", None, _ASKS),
    "preflight from another origin": request(
        "OPTIONS", "/score", None, ("Origin", "https://three.example"), _ASKS
    ),
    "preflight of /": request("OPTIONS", "/", None, _ONE, _ASKS),
    "preflight of /swagger.json": request("OPTIONS", "/swagger.json", None, _ONE, _ASKS),
    "a stream": post_json({"answer": "stream text"}, _ONE),
    "an id that is too long": post_json([1], _ONE, ("x-request-id", "l" * 101)),
}
_ANY: Final = ("POST", "POST without an origin", "preflight", "preflight without a method", "GET /")

CASES: Final = (
    *(Case("plain", f"GET {path}", get(path)) for path in _PATHS),
    *(Case("plain", f"{method} {path}", request(method, path)) for method, path in _METHODS),
    Case(
        "plain", "an unknown route for which HTML is accepted", get("/no", ("Accept", "text/html"))
    ),
    Case("plain", "an origin where none is allowed", post_json([1], _ONE)),
    Case("plain", "preflight where no origin is allowed", _ORIGINS["preflight"]),
    *(Case("cors", name, sent) for name, sent in _ORIGINS.items()),
    *(Case("cors_any", name, _ORIGINS[name]) for name in _ANY),
)
