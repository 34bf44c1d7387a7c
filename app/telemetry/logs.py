"""Logs as JSON lines or text, and one line per request. Never a body, a header or a key."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import time
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, TextIO

import orjson

from app.telemetry import PROBES, Trace

_FLUSH_S: Final = 0.2
_MOST_KEPT: Final = 32
"""Lines written at once, in a tenth of a millisecond or so: others wait for no more."""
_OWN: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
"""Attributes of every record; what else one has was given as `extra`."""

_PHASES: Final = {
    name: f"{name}_ms"
    for name in ("admit", "decode", "model", "queue", "predict", "deliver", "encode")
}


_QUIET: Final = ("azure", "msal", "urllib3", "requests", "opentelemetry", "opencensus")
"""Loggers that tell of their own requests, signatures of addresses included: errors only."""


_SECRET: Final = re.compile(
    r"""(\bsig=|\bbearer\s+|\baccountkey=|\bsharedkey\s+[^\s:]+:|\bclient_secret=)[^&\s"'\\;<>]{6,}"""
    r"""|\beyJ[\w-]{8,}\.[\w.-]+""",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """`text` without signatures, keys and tokens, which an error of a library may hold."""
    return _SECRET.sub(lambda found: f"{found[1] or ''}REDACTED", text)


class TextFormatter(logging.Formatter):
    """One line for people, and tracebacks below it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        return redacted(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, what `extra` gave, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        line: dict[str, object] = {
            "time": _iso(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {k: v for k, v in record.__dict__.items() if k not in _OWN and k not in line}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return redacted(_json(line).decode())


class JsonLines(logging.StreamHandler[TextIO]):
    """Writes records as JSON; and lines that are made already, many at once."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.setFormatter(JsonFormatter())

    def write(self, lines: Iterable[dict[str, object]]) -> None:
        """Past the machinery of `logging`, which costs more than a small model."""
        text = b"\n".join(map(_json, lines)).decode()
        with self.lock or nullcontext(), suppress(OSError, ValueError):  # nobody reads any more
            self.stream.write(f"{text}\n")
            self.flush()


def configure(level: str, log_format: str | None, stream: TextIO = sys.stderr) -> None:
    """The root logger writes to `stream`; `log_format` None: text on a terminal, else JSON."""
    as_text = stream.isatty() if log_format is None else log_format == "text"
    handler = logging.StreamHandler(stream) if as_text else JsonLines(stream)
    if as_text:
        handler.setFormatter(TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel("ERROR")
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).setLevel("WARNING" if level != "debug" else "DEBUG")


class AccessLog:
    """One line per request, kept for a moment: some lines at once cost less than each alone."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("app.access")
        self._traces: list[tuple[float, Trace]] = []
        self._timer: asyncio.TimerHandle | None = None

    def record(self, trace: Trace) -> None:
        """See `Exporter`; successful probes are written at debug level."""
        if not self._logger.isEnabledFor(_level(trace)):
            return
        self._traces.append((time.time(), trace))
        if len(self._traces) >= _MOST_KEPT:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_S, self.flush)

    def flush(self) -> None:
        """Write what is kept; also called at exit."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        traces, self._traces = self._traces, []
        if not traces:
            return
        for handler in logging.getLogger().handlers:
            if isinstance(handler, JsonLines):
                handler.write(_line(at, trace) for at, trace in traces)
            else:
                for at, trace in traces:
                    if _level(trace) >= handler.level:
                        handler.handle(self._record(at, trace))

    def _record(self, at: float, trace: Trace) -> logging.LogRecord:
        told: dict[str, object] = {}
        _tell(trace, told)
        record = self._logger.makeRecord(
            self._logger.name, _level(trace), "", 0, _message(trace), (), None, extra=told
        )
        record.created = at
        return record


def _line(at: float, trace: Trace) -> dict[str, object]:
    """As `JsonFormatter` would write it."""
    line: dict[str, object] = {
        "time": _iso(at),
        "level": "debug" if _level(trace) == logging.DEBUG else "info",
        "logger": "app.access",
        "message": _message(trace),
    }
    _tell(trace, line)
    return line


def _message(trace: Trace) -> str:
    return f"{trace.method} {trace.route} {trace.status} {trace.duration_s * 1e3:.1f} ms"


def _json(line: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(line, default=str)
    except TypeError:  # a lone surrogate, or a number beyond 64 bits
        return json.dumps(line, default=str, skipkeys=True).encode()


def _level(trace: Trace) -> int:
    return logging.DEBUG if trace.status < 400 and trace.route in PROBES else logging.INFO


def _tell(trace: Trace, line: dict[str, object]) -> None:
    """Times are whole microseconds; `round` costs six times as much."""
    line["method"] = trace.method
    line["route"] = trace.route
    line["status"] = trace.status
    line["duration_ms"] = int(trace.duration_s * 1e6) / 1e3
    line["request_id"] = trace.request_id
    if trace.code:
        line["code"] = trace.code
    ref = trace.ref
    if ref is not None:
        line["model"], line["version"], line["rows"] = ref.name, ref.version, trace.rows
        for name, seconds in trace.phases.items():
            line[_PHASES.get(name) or f"{name}_ms"] = int(seconds * 1e6) / 1e3


def _iso(seconds: float) -> str:
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1e3):03d}+00:00"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").removesuffix("+00:00")
