"""What is told of one request: when, how it ended, its phases, and what was logged; pure."""

from __future__ import annotations

import logging
import re
import secrets
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, Self

from app.telemetry import Trace
from app.telemetry.logs import redacted

_TRACEPARENT: Final = re.compile(
    rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL
)
"""W3C Trace Context, section 3.2."""
_PHASES: Final = frozenset({"queue", "decode", "predict", "encode"})
"""Always told; others when they took long."""
_LONG_S: Final = 0.001

Dimensions = Mapping[str, str | int]


class Caller(NamedTuple):
    """The span that a request is a part of, on the other side of the wire."""

    trace_id: int
    span_id: int
    is_sampled: bool

    @classmethod
    def of(cls, traceparent: bytes | None) -> Caller | None:
        """From the header of that name; None when there is none, or no valid one."""
        match = None if traceparent is None else _TRACEPARENT.fullmatch(traceparent)
        if match is None:
            return None
        version, rest = match[1], match[5]
        caller = cls(int(match[2], 16), int(match[3], 16), bool(int(match[4], 16) & 1))
        if version == b"ff" or (version == b"00" and rest) or not (caller[0] and caller[1]):
            return None
        return caller


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception, without the frames that would keep a batch in memory."""

    kind: str
    message: str
    text: str
    """Its traceback."""
    frames: Sequence[traceback.FrameSummary]
    """The innermost last."""

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """Of an exception that was raised."""
        *_, last = traceback.format_exception_only(error)
        kind = type(error).__name__
        return cls(
            kind=kind,
            message=redacted(last.strip().removeprefix(f"{kind}: ")),
            text=redacted("".join(traceback.format_exception(error))),
            frames=tuple(traceback.extract_tb(error.__traceback__)),
        )


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the log; part of a request when it has a trace id."""

    at_ns: int
    """Since 1970."""
    logger: str
    level: int
    message: str
    request_id: str = ""
    failure: Failure | None = None
    trace_id: int = 0
    span_id: int = 0
    dimensions: Dimensions = field(default_factory=dict)

    @classmethod
    def of(cls, record: logging.LogRecord) -> Self:
        """The request is the one that `extra` names by its `request_id`."""
        error = record.exc_info[1] if record.exc_info else None
        request_id = str(getattr(record, "request_id", ""))
        return cls(
            at_ns=int(record.created * 1e9),
            logger=record.name,
            level=record.levelno,
            message=redacted(record.getMessage()),
            request_id=request_id,
            failure=None if error is None else Failure.of(error),
            dimensions={"request_id": request_id} if request_id else {},
        )


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the time of a request; they follow each other."""

    name: str
    span_id: int
    start_ns: int
    end_ns: int
    is_failed: bool


@dataclass(frozen=True, slots=True)
class Request:
    """One that is told of; times in nanoseconds since 1970."""

    trace_id: int
    span_id: int
    parent_id: int | None
    """The span of the caller."""
    method: str
    route: str
    status: int
    start_ns: int
    end_ns: int
    percent: float
    """Of so many like it this one is told of: 5 stands for twenty of them."""
    model: Dimensions
    """Its name and version."""
    dimensions: Dimensions
    """All of them, those of the model too."""
    phases: Sequence[Phase]
    notes: Sequence[Note]

    @property
    def name(self) -> str:
        """As in a list of operations."""
        return f"{self.method} {self.route}"

    @classmethod
    def of(
        cls,
        trace: Trace,
        notes: Sequence[Note],
        *,
        trace_id: int,
        caller: Caller | None,
        percent: float,
        offset_ns: int,
    ) -> Self:
        """From a trace that has ended; `offset_ns`: `time.time_ns()` when `perf_counter` was 0."""
        start_ns = int(trace.started_at * 1e9) + offset_ns
        span_id = new_span_id()
        model, dimensions = _dimensions(trace)
        return cls(
            trace_id=trace_id,
            span_id=span_id,
            parent_id=None if caller is None else caller.span_id,
            method=trace.method,
            route=trace.route,
            status=trace.status,
            start_ns=start_ns,
            end_ns=start_ns + int(trace.duration_s * 1e9),
            percent=percent,
            model=model,
            dimensions=dimensions,
            phases=_phases(trace, start_ns),
            notes=[
                replace(
                    note,
                    trace_id=trace_id,
                    span_id=span_id,
                    dimensions={**dimensions, **note.dimensions},
                )
                for note in notes
            ],
        )


def new_trace_id() -> int:
    """As a caller would have made it; never 0."""
    return secrets.randbits(128) or 1  # a model may have seeded `random`


def new_span_id() -> int:
    """Never 0."""
    return secrets.randbits(64) or 1


def _dimensions(trace: Trace) -> tuple[Dimensions, Dimensions]:
    """Those of the model, and all."""
    model: dict[str, str | int] = {}
    others: dict[str, str | int] = {}
    if trace.request_id:
        others["request_id"] = trace.request_id
    if trace.code:
        others["code"] = trace.code
    if trace.ref is not None:
        model = {"model_name": trace.ref.name, "model_version": trace.ref.version}
        others |= {"rows": trace.rows, "batch_rows": trace.batch_rows}
    return model, model | others


def _phases(trace: Trace, start_ns: int) -> list[Phase]:
    """A phase that came twice is one, at its first place."""
    phases = []
    for name, seconds in trace.phases.items():
        end_ns = start_ns + int(seconds * 1e9)
        if (name in _PHASES or seconds >= _LONG_S) and trace.ref is not None:
            is_failed = name == "predict" and trace.code == "model-failed"
            phases.append(Phase(name, new_span_id(), start_ns, end_ns, is_failed))
        start_ns = end_ns
    return phases
