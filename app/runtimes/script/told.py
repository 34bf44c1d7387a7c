"""What goes to a script's process and what comes back, as the service sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

from app.tensors import RawRequest

BROKEN: Final = "what it streams raised"


def head_of(request: RawRequest, timeout_s: float) -> bytes:
    """All of `request` but its body; `run` may take so long."""
    return orjson.dumps(
        {
            "method": request.method,
            "path": request.path,
            "query": request.query.decode("latin-1"),
            "client": request.client,
            "timeout_s": timeout_s,
            "headers": [
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers
            ],
        }
    )


@dataclass(frozen=True, slots=True)
class Told:
    """A head that a script's process has sent, as far as it is what it should be."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    is_streamed: bool
    failure: str
    """Of the script: `raised`, `timeout` or `unwritable`; empty: none."""
    error: str
    """A traceback, for the log."""
    run_ms: float | None

    @classmethod
    def of(cls, head: bytes) -> Told:
        """Raises: ValueError: it is not."""
        told = orjson.loads(head)
        try:
            headers = tuple(
                (str(name).lower().encode("latin-1"), str(value).encode("latin-1", "replace"))
                for name, value in told["headers"]
            )
            run_ms = None if told["run_ms"] is None else float(told["run_ms"])
            status = int(told["status"])
            is_streamed, failure = bool(told["is_streamed"]), str(told["failure"])
            return cls(status, headers, is_streamed, failure, str(told["error"]), run_ms)
        except (KeyError, TypeError) as error:
            raise ValueError("an answer without what it must have") from error


@dataclass(frozen=True, slots=True)
class More:
    """A head within a streamed answer."""

    is_there: bool
    """A part comes with it; else that was the last one."""
    error: str
    """A traceback, for the log."""

    @classmethod
    def of(cls, head: bytes) -> More:
        """Raises: ValueError: it is none."""
        told = orjson.loads(head)
        if not isinstance(told, dict):
            raise ValueError("a part without what it must have")
        return cls(bool(told.get("more")), str(told.get("error") or ""))
