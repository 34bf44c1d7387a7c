"""The process that starts several workers, and starts again those that end without being told to.

Light: it has neither models nor a server, and no numpy. Not here: how connections spread over
workers (`web.acceptor`), and how their counts add up (`telemetry.siblings`).
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.web.listeners import Shares

logger = logging.getLogger(__name__)

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
_WATCHED: Final = (*_STOPPING, signal.SIGCHLD)
_POLL_S: Final = 0.02
"""While the first worker starts."""
_STEADY_S: Final = 30.0
"""Who lived for so long did not fail at its start."""
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_MOST_FAILED: Final = 5
"""Starts in a row of one worker while there is no other."""
_PR_SET_PDEATHSIG: Final = 1
"""<linux/prctl.h>"""


@dataclass(frozen=True, slots=True)
class Seat:
    """What a worker is given by its supervisor."""

    worker: int
    """From 0."""
    supervisor: int
    """Its process id."""
    listeners: tuple[int, ...]
    """Descriptors of the sockets that all workers listen on."""
    shares: int
    """Descriptor of `Shares`."""
    folder: str
    """Of this run; see `telemetry.runs`."""


@dataclass(slots=True)
class _Place:
    """One of the workers that there should be."""

    worker: int
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failed: int = 0
    """Starts in a row that did not lead to a steady process."""
    starts_at: float = 0.0


class Supervisor:
    """Ends when all workers have ended: as one server would, in its signals and exit code."""

    def __init__(
        self,
        command: Callable[[Seat], list[str]],
        listeners: Sequence[socket.socket],
        folder: Path,
        workers: int,
    ) -> None:
        self._command = command
        self._listeners = listeners
        self._folder = folder
        self._shares = Shares.of(workers)
        self._places = [_Place(worker) for worker in range(workers)]
        self._has_served = False
        self._is_stopping = False
        self._code = 0

    def run(self) -> int:
        """The exit code. Blocking; in the main thread, which must be the only one."""
        # Blocked ones wait until they are asked for; a worker takes them when it is ready to.
        signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        while not self._is_stopping or any(place.process for place in self._places):
            if not self._is_stopping:
                self._start_due()
            told = signal.sigtimedwait(_WATCHED, self._pause_s())
            if told is not None and told.si_signo in _STOPPING:
                self._stop()
            self._reap()
        return self._code

    def _start_due(self) -> None:
        """The first worker shows that the settings can be served with; then come the others."""
        self._has_served = self._has_served or self._shares.has(0)
        now = time.monotonic()
        for place in self._places if self._has_served else self._places[:1]:
            if place.process is None and place.starts_at <= now:
                self._start(place)

    def _start(self, place: _Place) -> None:
        descriptors = tuple(listener.fileno() for listener in self._listeners)
        seat = Seat(place.worker, os.getpid(), descriptors, self._shares.fd, str(self._folder))
        place.started_at = time.monotonic()
        try:
            place.process = subprocess.Popen(  # noqa: S603  # this program itself
                self._command(seat),
                pass_fds=(*descriptors, seat.shares),
                process_group=0,  # Ctrl-C reaches only the supervisor, which passes it on
            )
        except OSError as error:  # no memory, or too many processes
            self._try_later(place, f"could not be started ({error.strerror})")

    def _pause_s(self) -> float:
        if self._is_stopping:
            return _LONGEST_PAUSE_S
        if not self._has_served:
            return _POLL_S
        now = time.monotonic()
        due = (place.starts_at - now for place in self._places if place.process is None)
        return max(0.0, min(due, default=_LONGEST_PAUSE_S))

    def _stop(self) -> None:
        """Pass the signal on; the second one too, at which a worker ends at once.

        As another signal: two of the same are one for a worker that has not taken the first yet.
        """
        number = signal.SIGINT if self._is_stopping else signal.SIGTERM
        self._is_stopping = True
        for listener in self._listeners:
            listener.close()  # the workers have theirs for as long as they accept
        for place in self._places:
            if place.process is not None:  # by its id: a `Popen` would reap it on the way
                os.kill(place.process.pid, number)

    def _reap(self) -> None:
        """Take note of all that have ended; as process 1 also of those that others left."""
        found = {place.process.pid: place for place in self._places if place.process}
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        with suppress(ChildProcessError):
            while ended := os.waitid(os.P_ALL, 0, how):
                if ended.si_pid in found:
                    self._note_end(found[ended.si_pid])
                else:
                    os.waitpid(ended.si_pid, 0)

    def _note_end(self, place: _Place) -> None:
        assert place.process is not None
        code = place.process.wait()
        had_served = self._shares.has(place.worker)
        self._shares.leave(place.worker)
        place.process = None
        if self._is_stopping:
            self._code = self._code or (code if code >= 0 else 1)
        elif had_served or self._has_served:
            self._try_later(place, ended(code))
        else:  # as a single server that does not start; unless it was killed it has said why
            if code < 0:
                logger.error("worker %d %s before it served", place.worker, ended(code))
            self._give_up(code)

    def _try_later(self, place: _Place, how: str) -> None:
        now = time.monotonic()
        place.failed = 1 if now - place.started_at > _STEADY_S else place.failed + 1
        if place.failed >= _MOST_FAILED and not any(each.process for each in self._places):
            logger.error("worker %d %s; it is the last, so the server ends", place.worker, how)
            self._give_up(1)
            return
        doubled = _FIRST_PAUSE_S * 2 ** min(10, place.failed - 2)
        pause_s = 0.0 if place.failed == 1 else min(_LONGEST_PAUSE_S, doubled)
        place.starts_at = now + pause_s
        logger.error("worker %d %s; starting it again in %g s", place.worker, how, pause_s)

    def _give_up(self, code: int) -> None:
        self._code = code if code > 0 else 1
        self._stop()


def ended(code: int) -> str:
    """How a process ended that has this code, for people."""
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"


def follow(supervisor: int) -> None:
    """This process is killed when its supervisor ends, in whatever way that ends (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor:  # it has ended before
        sys.exit(1)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
