"""What a model takes of this process' memory: measured at its load, remembered by its digest.

sizes/DIGEST    bytes, as the last measured load of it found them

Not here: who goes when there is no room (`room`), and what the container may use (`quota`).
"""

from __future__ import annotations

import ctypes
import logging
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from app import quota

logger = logging.getLogger(__name__)

_MOST_REMEMBERED: Final = 10_000
_M_MMAP_THRESHOLD: Final = -3
_LOADING_BYTES: Final = 128 << 10
_SERVING_BYTES: Final = 32 << 20


@dataclass(frozen=True, slots=True)
class Size:
    """What one model takes."""

    size_bytes: int
    source: str
    """How that is known, for people."""
    is_exact: bool = False
    """Measured at this very load, with nothing beside it."""


def counted(measured: Size, declared_bytes: int | None, model: str) -> Size:
    """What `model` counts as: what is declared, unless it was measured, alone, to take more."""
    if declared_bytes is None:
        return measured
    if not measured.is_exact or measured.size_bytes <= declared_bytes:
        return Size(declared_bytes, "declared")
    text = "%s: memory_bytes declares %d bytes, it was measured to take %d, which count"
    logger.warning(text, model, declared_bytes, measured.size_bytes)
    return measured


@dataclass(slots=True, eq=False)
class Weighing:
    """One load that is being measured."""

    digest: str
    files_bytes: int
    before_bytes: int
    modules: int
    beside_bytes: int = 0
    """The files of other models that were loaded meanwhile."""
    is_alone: bool = True
    size: Size = field(default_factory=lambda: Size(0, ""))
    """Known when the load has ended."""


class Memory:
    """Measures loads. Its methods block; called in loading threads."""

    def __init__(
        self, folder: Path, occupied_bytes: Callable[[], int] = quota.anonymous_bytes
    ) -> None:
        self._folder = folder / "sizes"
        self._occupied_bytes = occupied_bytes
        self._lock = threading.Lock()
        self._running: list[Weighing] = []

    def open(self) -> None:
        """Forget what was measured longest ago, where that is too much. Best effort."""
        with suppress(OSError):
            found = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
            for path in found[:-_MOST_REMEMBERED]:
                path.unlink(missing_ok=True)

    def expected(self, digest: str, files_bytes: int, declared_bytes: int | None = None) -> Size:
        """Before a load: as declared, or measured before when that is more; with nothing declared
        as measured before, else the size of its files; never below that.
        """
        known = self._remembered(digest)
        if declared_bytes is not None and (known is None or known <= declared_bytes):
            return Size(declared_bytes, "declared")
        if known is not None and known > files_bytes:
            return Size(known, "measured at an earlier load")
        return Size(files_bytes, "the size of its files")

    @contextmanager
    def weigh(self, digest: str, files_bytes: int) -> Iterator[Weighing]:
        """What is occupied more at the end than at the beginning is the size of the model.

        Of loads that overlap each has its part, by the size of its files, and is remembered no
        more than one that brought libraries along, which stay when it goes.
        """
        weighing = Weighing(digest, files_bytes, 0, len(sys.modules))
        with self._lock:
            for other in self._running:
                other.is_alone = weighing.is_alone = False
                other.beside_bytes += files_bytes
                weighing.beside_bytes += other.files_bytes
            self._running.append(weighing)
            _own_pages(_LOADING_BYTES)
            weighing.before_bytes = self._occupied_bytes()
        try:
            yield weighing
        finally:
            give_back()
            with self._lock:
                self._running.remove(weighing)
                if not self._running:
                    _own_pages(_SERVING_BYTES)
                grown_bytes = self._occupied_bytes() - weighing.before_bytes
        weighing.size = self._size(weighing, grown_bytes)
        if weighing.size.is_exact:
            self._remember(digest, weighing.size.size_bytes)

    def _size(self, weighing: Weighing, grown_bytes: int) -> Size:
        least = weighing.files_bytes
        if weighing.is_alone:
            has_libraries = len(sys.modules) > weighing.modules
            source = "measured, with libraries it brought" if has_libraries else "measured"
            return Size(max(least, grown_bytes), source, is_exact=not has_libraries)
        known = self.expected(weighing.digest, least)
        if known.size_bytes > least:
            return known
        part = least / max(1, least + weighing.beside_bytes)
        return Size(max(least, int(grown_bytes * part)), "its part of several that were measured")

    def _remembered(self, digest: str) -> int | None:
        try:
            return int((self._folder / digest).read_text("ascii"))
        except (OSError, ValueError):
            return None

    def _remember(self, digest: str, size_bytes: int) -> None:
        """Best effort: without it the next load goes by the size of the files."""
        beside = self._folder / f".{uuid.uuid4().hex}"
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            beside.write_text(str(size_bytes), "ascii")
            beside.replace(self._folder / digest)


def give_back() -> None:
    """Free memory goes back to the system, which malloc alone does only at the end of its heap.

    Blocking, for about 0.2 ms for each MB; other threads run meanwhile (malloc_trim(3), glibc).
    """
    trim = _libc("malloc_trim")
    if trim is not None:
        trim(0)


def _own_pages(from_bytes: int) -> None:
    """Blocks of so many bytes have pages of their own, which go back with them (mallopt(3), glibc).

    Left alone, glibc raises that limit to the largest block that was freed: models then lie between
    other blocks in the heaps of several threads, which grow with each load. For the arrays of a
    request such pages would be slower than those of a heap, which are at hand.
    """
    mallopt = _libc("mallopt")
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, from_bytes)


@cache
def _libc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None)
