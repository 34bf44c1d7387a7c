"""Logs as JSON lines or text, and one line per request. Never a body, a header or a key."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Final, TextIO

import orjson

from app.telemetry import Trace

_FLUSH_S: Final = 0.2
_OWN: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
"""Attributes of every record; what else one has was given as `extra`."""


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
        try:
            return orjson.dumps(line, default=str).decode()
        except TypeError:  # a lone surrogate, or a number beyond 64 bits
            return json.dumps(line, default=str, skipkeys=True)


def configure(level: str, log_format: str | None, stream: TextIO = sys.stderr) -> None:
    """The root logger writes to `stream`; `log_format` None: text on a terminal, else JSON."""
    as_text = stream.isatty() if log_format is None else log_format == "text"
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        if as_text
        else JsonFormatter()
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).setLevel("WARNING" if level != "debug" else "DEBUG")


class AccessLog:
    """One line per request, kept and written five times a second, away from the hot path."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("app.access")
        self._traces: list[tuple[float, Trace]] = []
        self._timer: asyncio.TimerHandle | None = None

    def record(self, trace: Trace) -> None:
        """See `Exporter`; successful probes are written at debug level."""
        if not self._logger.isEnabledFor(_level(trace)):
            return
        self._traces.append((time.time(), trace))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_S, self.flush)

    def flush(self) -> None:
        """Write what is kept; also called at exit."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        traces, self._traces = self._traces, []
        for at, trace in traces:
            level = _level(trace)
            line = f"{trace.method} {trace.route} {trace.status} {trace.duration_s * 1e3:.1f} ms"
            record = self._logger.makeRecord(
                self._logger.name, level, "", 0, line, (), None, extra=_told(trace)
            )
            record.created = at
            self._logger.handle(record)


def _level(trace: Trace) -> int:
    is_probe = trace.status < 400 and trace.route in (
        "/livez",
        "/readyz",
        "/healthcheck",
        "/metrics",
    )
    return logging.DEBUG if is_probe else logging.INFO


def _told(trace: Trace) -> dict[str, object]:
    told: dict[str, object] = {
        "method": trace.method,
        "route": trace.route,
        "status": trace.status,
        "duration_ms": _ms(trace.duration_s),
        "request_id": trace.request_id,
    }
    if trace.code:
        told["code"] = trace.code
    if trace.ref is not None:
        told |= {"model": trace.ref.name, "version": trace.ref.version, "rows": trace.rows}
        told |= {f"{name}_ms": _ms(s) for name, s in trace.phases.items()}
    return told


def _ms(seconds: float) -> float:
    return int(seconds * 1e6) / 1e3  # whole microseconds; `round` costs six times as much


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
