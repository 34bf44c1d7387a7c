"""The way to one place: a bounded queue, and a thread that nobody waits for."""

from __future__ import annotations

import logging
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from threading import Event, Thread
from typing import Final, Literal

from app.collecting import Target
from app.collecting.record import Record
from app.errors import ServingError
from app.imports import NotInstalled
from app.tensors import ModelRef

logger = logging.getLogger(__name__)

LARGEST_BYTES: Final = 1024**2
"""Of one record; every thread would wait for some milliseconds while a larger one is written."""
MOST_KEPT: Final = 1000
MOST_BYTES: Final = 32 * 1024**2
_MANY: Final = 256
"""Written before the period is over."""
_PERIOD_S: Final = 2.0
_WRITE_BYTES: Final = 1024**2
_MOST_LINE_BYTES: Final = 3 * 1024**2
"""With `_WRITE_BYTES` no more than what a blob takes at once (4 MiB)."""
_BREATH_BYTES: Final = 16 * 1024
_BREATH_S: Final = 0.0005
"""Between so many bytes of lines, so that the event loop need not wait for all of them."""

Outcome = Literal["written", "dropped", "failed"]


class Outlet:
    """Writes in the background; what does not fit into its queue is dropped and counted."""

    def __init__(self, name: str, opened: Callable[[], Target]) -> None:
        """`name` for the log; `opened` is called in its thread."""
        self._name = name
        self._opened = opened
        self._target: Target | None = None
        self._file = f"{uuid.uuid4().hex[:16]}.jsonl"  # no other process writes into it
        self._queue: deque[Record] = deque()
        self._put_bytes = 0
        self._taken_bytes = 0
        self._dropped: Counter[ModelRef] = Counter()  # by who puts
        self._done: Counter[tuple[ModelRef, Outcome]] = Counter()  # by the thread
        self._has_told_full = False
        self._is_failing = False
        self._is_closing = False
        self._wake = Event()
        self._thread = Thread(target=self._run, name="collect", daemon=True)
        self._thread.start()

    def put(self, record: Record) -> None:
        """Never blocks; in one thread."""
        waiting = len(self._queue)
        is_full = waiting >= MOST_KEPT or self._put_bytes - self._taken_bytes > MOST_BYTES
        if is_full or record.size_bytes > LARGEST_BYTES or self._is_closing:
            self.drop(record.ref)
            if is_full and not self._has_told_full:
                self._has_told_full = True
                logger.warning("%s takes too little: not all is collected", self._name)
            return
        self._put_bytes += record.size_bytes
        self._queue.append(record)
        if waiting == _MANY:
            self._wake.set()

    def drop(self, ref: ModelRef) -> None:
        """Count what is not collected; in the thread of `put`."""
        self._dropped[ref] += 1

    def counts(self) -> Counter[tuple[str, str, Outcome]]:
        """By name, version and outcome, so far; in any thread."""
        found: Counter[tuple[str, str, Outcome]] = Counter()
        for ref, count in list(self._dropped.items()):
            found[ref.name, ref.version, "dropped"] += count
        for (ref, outcome), count in list(self._done.items()):
            found[ref.name, ref.version, outcome] += count
        return found

    def close(self) -> None:
        """What is there is still written, if the process lives long enough; returns at once."""
        self._is_closing = True
        self._wake.set()

    def has_ended(self, timeout_s: float) -> bool:
        """Wait until it has; what is left then is dropped."""
        self._thread.join(max(0.0, timeout_s))
        while self._queue:
            self.drop(self._queue.pop().ref)
        return not self._thread.is_alive()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._wake.wait(_PERIOD_S)
            self._wake.clear()
            is_last = self._is_closing
            while self._queue:
                self._write_some()
        if self._target is not None:
            self._target.close()

    def _write_some(self) -> None:
        """As many lines as one write takes, by the file that they belong into."""
        made: dict[tuple[str, ModelRef], list[bytes]] = defaultdict(list)
        size_bytes = breath_bytes = 0
        while size_bytes < _WRITE_BYTES and (record := self._taken()) is not None:
            line = self._line(record)
            if line is None:
                continue
            made[record.folder, record.ref].append(line)
            size_bytes += len(line)
            breath_bytes += len(line)
            if breath_bytes > _BREATH_BYTES:
                breath_bytes = 0
                time.sleep(_BREATH_S)
        for (folder, ref), lines in made.items():
            has_written = self._append(f"{folder}/{self._file}", b"".join(lines))
            self._done[ref, "written" if has_written else "failed"] += len(lines)

    def _taken(self) -> Record | None:
        try:
            record = self._queue.popleft()
        except IndexError:  # also when `has_ended` has dropped them
            return None
        self._taken_bytes += record.size_bytes
        return record

    def _line(self, record: Record) -> bytes | None:
        try:
            line = record.line()
        except Exception:  # a model may give anything, and this thread must live on
            logger.debug("%s: a record is no JSON", record.ref, exc_info=True)
            self._done[record.ref, "failed"] += 1
            return None
        if len(line) > _MOST_LINE_BYTES:
            self._done[record.ref, "dropped"] += 1
            return None
        return line

    def _append(self, path: str, lines: bytes) -> bool:
        try:
            if self._target is None:
                self._target = self._opened()
            self._target.append(path, lines)
        except Exception as error:  # noqa: BLE001  # the top of this thread, which must live on
            if not self._is_failing:
                logger.warning("%s: nothing is collected: %s", self._name, _reason(error))
            self._is_failing = True
            return False
        if self._is_failing:
            logger.info("%s: collecting again", self._name)
        self._is_failing = False
        return True


def _reason(error: Exception) -> str:
    """Never what a client of Azure says itself: it may hold an address with its signature."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    is_ours = isinstance(error, ServingError | NotInstalled)
    return str(error) if is_ours else type(error).__name__
