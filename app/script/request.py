"""One HTTP request as the service hands it on, and what scripts are given of it."""

from __future__ import annotations

import codecs
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_to_bytes

if TYPE_CHECKING:
    from .aml_request import AMLRequest


_AS_SENT = "aml_serve_as_sent"
"""Bytes that are no UTF-8 stay as they are written in an address: %FF."""


_NOT_HTTP = ("CONTENT_LENGTH", "CONTENT_TYPE")


def _quoted(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    wrong = error.object[error.start : error.end]
    return "".join(f"%{byte:02X}" for byte in wrong), error.end


codecs.register_error(_AS_SENT, _quoted)


@dataclass(slots=True)
class Request:
    """Headers as they came, names in lower case."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes
    client: str = ""
    """Its address."""

    def header(self, name: str) -> str:
        """The last one of that name in lower case; empty: none."""
        return next((value for key, value in reversed(self.headers) if key == name), "")

    def titled_headers(self) -> dict[str, str]:
        """As WSGI servers tell them: repeated ones joined by commas, names in title case."""
        told: dict[str, str] = {}
        for name, value in self.headers:
            name = name.title()
            told[name] = f"{told[name]},{value}" if name in told else value
        return told

    def arguments(self) -> dict[str, Any]:
        """Of the query, as if they were a body: each as JSON where it is that; repeated: lists."""
        found: dict[str, list[Any]] = {}
        for name, value in parse_qsl(self.query, keep_blank_values=True, errors=_AS_SENT):
            found.setdefault(name, []).append(_parsed(value))
        return {name: values[0] if len(values) == 1 else values for name, values in found.items()}

    def whole(self) -> AMLRequest:
        """For scripts that take all of it."""
        from .aml_request import AMLRequest

        return AMLRequest(self._environ())

    def _environ(self) -> dict[str, Any]:
        """As PEP 3333 has it."""
        host, _, port = (self.header("host") or "localhost").partition(":")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(self.path).decode("latin-1"),
            "QUERY_STRING": self.query,
            "SERVER_NAME": host,
            "SERVER_PORT": port or "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": self.client,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(self.body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        for name, value in self.titled_headers().items():
            key = name.upper().replace("-", "_")
            environ[key if key in _NOT_HTTP else f"HTTP_{key}"] = value
        if self.body:  # it may have come in chunks
            environ["CONTENT_LENGTH"] = str(len(self.body))
        return environ


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
