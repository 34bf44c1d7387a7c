"""What the event loop is asked for, and all that comes of it elsewhere: see `Feed`."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import Final

from app.telemetry import PROBES, Trace
from app.telemetry.insights.outlet import Outlet
from app.telemetry.insights.relay import THREADS, Relay, logger
from app.telemetry.insights.requests import Caller, Note, Request, new_trace_id
from app.telemetry.insights.sampling import Kind, Sampler

_PERIOD_S: Final = 0.25
_MANY: Final = 256
"""Looked at before the period is over, in half a millisecond."""
_MOST_KEPT: Final = 8192
_CLOSE_S: Final = 1.9
_MOST_PENDING: Final = 256
_PENDING_S: Final = 300.0
"""No request takes longer, save some of scripts."""


class Feed:
    """An exporter whose thread joins what was logged to its request, and samples."""

    def __init__(self, outlets: Sequence[Outlet], relay: Relay) -> None:
        self.dropped = 0
        self._outlets = outlets
        self._relay = relay
        self._queue: deque[Trace | Note] = deque()
        self._pending: dict[str, list[Note]] = {}
        """By request id, until the request has ended."""
        self._sampler = Sampler()
        self._wake = Event()
        self._is_closing = False
        self._listener = Listener(self._put)
        self._thread = Thread(target=self._run, name=f"{THREADS}-feed", daemon=True)
        relay.open()
        logging.getLogger().addHandler(self._listener)
        self._thread.start()

    def record(self, trace: Trace) -> None:
        """See `Exporter`; successful probes are not told of."""
        if trace.route not in PROBES or trace.status >= 400:
            self._put(trace)

    def close(self) -> None:
        """Send what is there. Blocking, for two seconds at most; in any thread."""
        until = time.monotonic() + _CLOSE_S
        logging.getLogger().removeHandler(self._listener)
        self._is_closing = True
        self._wake.set()
        self._thread.join(_CLOSE_S)
        for outlet in self._outlets:
            outlet.close()
        if all(outlet.has_ended(until - time.monotonic()) for outlet in self._outlets):
            self._relay.close()

    def _put(self, told: Trace | Note) -> None:
        waiting = len(self._queue)
        if waiting >= _MOST_KEPT:
            self.dropped += 1
            return
        self._queue.append(told)
        if waiting == _MANY:
            self._wake.set()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._wake.wait(_PERIOD_S)
            self._wake.clear()
            is_last = self._is_closing
            try:
                self._take()
                self._let_go(all_of_them=is_last)
            except Exception:  # noqa: BLE001  # the top of this thread, which must live on
                logger.exception("a request was not told of")

    def _take(self) -> None:
        """What there is now."""
        offset_ns = time.time_ns() - time.perf_counter_ns()
        for _ in range(len(self._queue)):
            told = self._queue.popleft()
            if isinstance(told, Trace):
                self._take_trace(told, offset_ns)
            elif told.request_id:
                self._pending.setdefault(told.request_id, []).append(told)
            else:
                self._tell_loose(told)

    def _take_trace(self, trace: Trace, offset_ns: int) -> None:
        notes = self._pending.pop(trace.request_id, []) if self._pending else []
        caller = Caller.of(trace.traceparent)
        trace_id = new_trace_id() if caller is None else caller.trace_id
        if trace.route in PROBES:
            kind = Kind.PROBE
        elif notes or trace.status >= 500:
            kind = Kind.FAILED
        elif caller is None:
            kind = Kind.ORDINARY
        elif caller.is_sampled:
            kind = Kind.ASKED
        else:
            return
        percent = self._sampler.percent(kind, trace_id)
        if percent is not None:
            self._tell(
                Request.of(
                    trace,
                    notes,
                    trace_id=trace_id,
                    caller=caller,
                    percent=percent,
                    offset_ns=offset_ns,
                )
            )

    def _let_go(self, *, all_of_them: bool) -> None:
        """Of lines whose request did not come, the oldest first."""
        while self._pending:
            request_id, notes = next(iter(self._pending.items()))
            is_old = notes[0].at_ns < time.time_ns() - _PENDING_S * 1e9
            if not (all_of_them or is_old or len(self._pending) > _MOST_PENDING):
                return
            del self._pending[request_id]
            for note in notes:
                self._tell_loose(note)

    def _tell_loose(self, note: Note) -> None:
        if self._sampler.percent(Kind.LOOSE, new_trace_id()) is not None:
            self._tell(note)

    def _tell(self, told: Request | Note) -> None:
        for outlet in self._outlets:
            outlet.put(told)


class Listener(logging.Handler):
    """Passes on what is logged as a warning or worse, in any thread but those that send it."""

    def __init__(self, put: Callable[[Note], None]) -> None:
        super().__init__(logging.WARNING)
        self._put = put

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        if (record.threadName or "").startswith(THREADS):
            return
        try:
            self._put(Note.of(record))
        except Exception:  # noqa: BLE001  # who logs is not to blame, as in any handler
            self.handleError(record)
