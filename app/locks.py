"""Locks between processes and threads, by files (flock(2)): they end with whoever holds them."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Nobody else has it meanwhile; yields whether the lock was had.

    Raises:
        OSError: the file cannot be made.
    """
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


@dataclass(slots=True)
class Lease:
    """A folder that nobody takes away until this is closed, or its process ends."""

    folder: Path
    _lock: IO[str] | None = None

    @classmethod
    def of(cls, folder: Path, lock: Path) -> Lease:
        """Others may have leases of it too, but nobody its lock. Raises: OSError."""
        file = lock.open("w")
        fcntl.flock(file, fcntl.LOCK_SH)
        return cls(folder, file)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """It may go."""
        if self._lock is not None:
            self._lock.close()
