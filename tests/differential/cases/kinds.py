"""What a script returns or raises, and how that is answered."""

from __future__ import annotations

from typing import Final

from tests.differential.wire import JSON, Case, get, post_json, request

_RETURNED: Final = (
    "none", "text", "json text", "empty text", "number", "float", "true", "list", "empty list",
    "tuple", "object", "number keys", "nan", "unicode", "surrogate", "large number",
    "numpy float64", "module", "environment", "print", "thread", "nap", "megabyte",
)  # fmt: skip
_NOT_JSON: Final = (
    "numpy float32", "numpy int64", "numpy array", "set", "bytes", "decimal", "generator",
    "tuple keys", "itself", "deep",
)  # fmt: skip
_RESPONSES: Final = (
    "text", "bytes", "none", "json", "json text", "dict", "list", "number", "headers",
    "own header", "own id", "header number", "lower type", "204", "304", "400", "404", "500",
    "503", "599", "failed", "status text",
)  # fmt: skip
_STREAMS: Final = ("text", "bytes", "events", "nothing", "500", "broken")
_FAILING: Final = ("raise", "raise os error", "raise timeout", "assert")
_ENDING: Final = ("raise base", "exit", "exit 0", "interrupt", "kill")
_LIMITED: Final = ("sleep", "busy", "swallow", "nap")


def _asked(service: str, what: str, *words: str) -> tuple[Case, ...]:
    return tuple(
        Case(service, f"{what} {word}", post_json({"answer": f"{what} {word}".strip()}))
        for word in words
    )


def _named(service: str, what: str, words: tuple[str, ...]) -> tuple[Case, ...]:
    return tuple(Case(service, f"{what}: {word}", post_json({"answer": word})) for word in words)


CASES: Final = (
    *_named("plain", "returns", _RETURNED),
    *_named("plain", "returns what is no JSON", _NOT_JSON),
    *_asked("plain", "response", *_RESPONSES),
    *_asked("plain", "stream", *_STREAMS),
    Case(
        "plain",
        "stream to HTTP/1.0",
        request("POST", "/score", b'{"answer": "stream text"}', JSON, version="1.0"),
    ),
    *_named("plain", "fails", _FAILING),
    *_named("plain", "ends its process", _ENDING),
    Case("plain", "answers after its process has ended", post_json({"answer": "text"})),
    *_named("limited", "within 300 ms", _LIMITED),
    Case("limited", "answers after a timeout", post_json({"answer": "text"})),
    Case("limited", "is healthy after a timeout", get("/")),
)
