"""Whose pages may read answers: the headers of the Fetch standard, as flask-cors 6 sends them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

_METHODS: Final = ("GET", "POST")
_PATTERN: Final = frozenset("*\\]?$^[()")
"""An origin with one of these is a regular expression; `*` alone stands for all."""

Headers = list[tuple[bytes, bytes]]


class Cors:
    """Of the origins that AML_CORS_ORIGINS lists; none: no such header is ever sent."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._texts = sorted(o for o in origins if not _PATTERN & set(o))
        expressions = [".*" if o == "*" else o for o in origins if _PATTERN & set(o)]
        self._expressions = [re.compile(each, re.IGNORECASE) for each in expressions]
        self._takes_all = "*" in origins
        self._varies = len(origins) > 1 or bool(expressions)

    def headers(self, method: str, asked: Mapping[bytes, bytes]) -> Headers:
        """Of the answer to a request with the headers `asked`."""
        origin = asked.get(b"origin", b"").decode("latin-1")
        allowed = self._allowed(origin)
        if not allowed:
            return []
        out = [(b"access-control-allow-origin", allowed.encode("latin-1"))]
        if method == "OPTIONS":
            out += self._preflight(asked)
        if self._varies and allowed != "*":
            out.append((b"vary", b"Origin"))
        return out

    def added(
        self, given: Iterable[tuple[bytes, bytes]], method: str, asked: Mapping[bytes, bytes]
    ) -> Headers:
        """`given`, the headers of an answer, with ours in place of what it says of origins."""
        own = self.headers(method, asked)
        names = {name for name, _ in own} - {b"vary"}
        return [*((name, value) for name, value in given if name not in names), *own]

    def _allowed(self, origin: str) -> str:
        if not origin:
            return "*" if self._takes_all else next(iter(self._texts), "")
        is_listed = any(origin.lower() == text.lower() for text in self._texts)
        is_listed = is_listed or any(each.match(origin) for each in self._expressions)
        return origin if is_listed else ""

    def _preflight(self, asked: Mapping[bytes, bytes]) -> Headers:
        method = asked.get(b"access-control-request-method", b"").decode("latin-1").upper()
        if method not in _METHODS:
            return []
        out = [(b"access-control-allow-methods", ", ".join(_METHODS).encode())]
        wanted = asked.get(b"access-control-request-headers", b"").decode("latin-1").split(",")
        names = sorted(name.strip() for name in wanted if name.strip())
        if names:
            out.append((b"access-control-allow-headers", ", ".join(names).encode("latin-1")))
        return out
