"""Fatal signals: what a process that one of them ends leaves behind.

running/ID    of each process that serves; locked by it, and empty until such a signal ends it:
              then Python writes there what each of its threads was doing (faulthandler)

Not here: what becomes of models that end processes (`crashes`).
"""

from __future__ import annotations

import faulthandler
import fcntl
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, TypeVar

_MOST_BYTES: Final = 1 << 16
_NAMED: Final = re.compile(r"(?m) in ([0-9a-f]{64})$")

A = TypeVar("A")
B = TypeVar("B")
R = TypeVar("R")


def told_apart(function: Callable[[A, B], R], digest: str) -> Callable[[A, B], R]:
    """The same, called by a frame that is named `digest`, as a stack of `Death` tells it."""

    def call(first: A, second: B) -> R:
        return function(first, second)

    call.__code__ = call.__code__.replace(co_name=digest)
    return call


@dataclass(frozen=True, slots=True)
class Death:
    """How a process ended."""

    reason: str
    """As `Segmentation fault`."""
    stack: str
    """Of the thread that did it; empty if that is none of Python's, as those of libraries."""
    digests: tuple[str, ...]
    """Of what that thread was inside of; of what any was, if the thread is not known."""

    @classmethod
    def told(cls, text: str) -> Death:
        """By what faulthandler has written."""
        reason, *stacks = text.split("\n\n")
        current = next((stack for stack in stacks if stack.startswith("Current thread")), "")
        digests = _NAMED.findall(current or text)  # a load that crashes blames no model beside it
        return cls(reason.removeprefix("Fatal Python error: "), current, tuple({*digests}))


class Witness:
    """The file of this process, and those of processes that are no more. Its methods block, and
    of all processes one at a time calls `open` and `deaths`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: tuple[Path, IO[str]] | None = None

    def open(self) -> None:
        """From now on; unless somebody else wants to be told. Raises: OSError: no file."""
        if faulthandler.is_enabled():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / uuid.uuid4().hex
        file = path.open("w", encoding="ascii")
        fcntl.flock(file, fcntl.LOCK_EX)
        faulthandler.enable(file)
        self._own = path, file

    def close(self) -> None:
        """What ends this process from now on is nobody's fault."""
        if self._own is not None:
            path, file = self._own
            self._own = None
            faulthandler.disable()
            path.unlink(missing_ok=True)
            file.close()

    def deaths(self) -> Iterator[Death]:
        """Each is told once."""
        for path in self._folder.glob("*"):
            with suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # locked: its process lives
                text = file.read(_MOST_BYTES).decode("ascii", "replace")
                path.unlink()
                if text:
                    yield Death.told(text)
