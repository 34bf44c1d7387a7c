"""Models that end the process: three times, and they are set aside.

loading/ID        what is being loaded, or predicts for the first time: digest, model, process;
                  locked by that process, so that one which is not was left by a process that died
crashes/DIGEST    how often it was found like that since it was last loaded
crashes/DIGEST.predicting    when a fatal signal ended a process while it predicted, a line each
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from app.errors import ModelInvalid
from app.fatal import Death, Witness, told_apart
from app.locks import locked
from app.tensors import Batch, Model, Prediction

logger = logging.getLogger(__name__)

MOST_CRASHES: Final = 3
ASIDE_S: Final = 3600.0
"""Crashes of predictions count for so long: what ends a process may be one client's rows."""
_PATIENCE_S: Final = 60.0
"""A load that hangs holds up no others for longer."""
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Crashes:
    """Notes of one process in a folder that others share. Its methods block."""

    def __init__(self, folder: Path) -> None:
        self._notes = folder / "loading"
        self._counts = folder / "crashes"
        self._own: dict[Path, IO[str]] = {}
        self._witness = Witness(folder / "running")
        self._is_closed = False
        self._turns = threading.Condition()
        self._inside = 0
        self._waiting = 0
        """Suspects that are to be loaded alone."""
        self._is_alone = False

    def open(self) -> None:
        """Count the crashes of processes that are no more. Best effort."""
        with suppress(OSError):
            self._notes.mkdir(parents=True, exist_ok=True)
            self._counts.mkdir(exist_ok=True)
            self._count_all()

    def watch(self) -> None:
        """From now on it is known which model this process predicts by when it crashes. Best
        effort."""
        with suppress(OSError), locked(self._notes / ".lock"):
            self._witness.open()

    def close(self) -> None:
        """Take the notes away: what ends from now on was ended on purpose."""
        self._is_closed = True
        self._witness.close()
        for path in list(self._own):
            self._leave(path)

    def refuse(self, digest: str) -> None:
        """Raises: ModelInvalid: it has ended the process too often."""
        count = self._crashes_of(digest)
        if count >= MOST_CRASHES:
            raise ModelInvalid(
                f"it ended the process {count} times while it was loaded, and is set aside; "
                "register a version that loads, or, to have this one tried again, remove the file "
                f"crashes/{digest} from the folder of SERVE_CACHE_DIR"
            )
        times = self._times_of(digest)
        if len(times) >= MOST_CRASHES:
            until = time.strftime("%H:%M:%S UTC", time.gmtime(times[-MOST_CRASHES] + ASIDE_S))
            raise ModelInvalid(
                f"it ended the process {len(times)} times in an hour while it predicted, and is "
                f"set aside until {until}; register a version that does not, or, to have this one "
                f"tried again, remove the file crashes/{digest}.predicting from the folder of "
                "SERVE_CACHE_DIR"
            )

    @contextmanager
    def loading(self, digest: str, model: str) -> Iterator[None]:
        """A note is there meanwhile. What has crashed before is loaded alone, so that of several
        that were loaded when the process died the innocent are acquitted.

        Raises:
            ModelInvalid: it has ended another process meanwhile.
        """
        is_suspect = self._crashes_of(digest) > 0
        with ExitStack() as held:
            held.enter_context(self._turn(is_suspect=is_suspect))
            if is_suspect:
                with suppress(OSError):  # of all processes one after the other
                    held.enter_context(locked(self._counts / f".{digest}"))
                    self._count_all()
                self.refuse(digest)
            held.enter_context(self.noted(digest, model))
            yield

    @contextmanager
    def noted(self, digest: str, model: str) -> Iterator[None]:
        """A note is there until this ends in any way but the end of the process."""
        path = self._note(f"{digest} {model} of process {os.getpid()}\n")
        try:
            yield
        finally:
            if path is not None:
                self._leave(path)

    def forget(self, digest: str) -> None:
        """It works, whatever it was suspected of."""
        with suppress(OSError):
            (self._counts / digest).unlink(missing_ok=True)

    def _note(self, text: str) -> Path | None:
        """None where none can be written: then no crash is counted."""
        path = self._notes / uuid.uuid4().hex
        if self._is_closed:
            return None
        try:
            with locked(self._notes / ".lock"):
                file = path.open("w", encoding="utf-8")
                fcntl.flock(file, fcntl.LOCK_EX)
                file.write(text)
                file.flush()
        except OSError:
            return None
        self._own[path] = file
        return path

    def _leave(self, path: Path) -> None:
        file = self._own.pop(path, None)
        if file is not None:
            path.unlink(missing_ok=True)
            file.close()

    def _count_all(self) -> None:
        with locked(self._notes / ".lock"):
            for path in self._notes.glob("[!.]*"):
                self._count(path)
            for death in self._witness.deaths():
                self._charge(death)

    def _count(self, path: Path) -> None:
        with suppress(OSError), path.open("r+", encoding="utf-8", errors="replace") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # locked: its process lives
            digest, _, model = file.read().partition(" ")
            if _SHA256.fullmatch(digest):
                count = self._crashes_of(digest) + 1
                (self._counts / digest).write_text(str(count), "ascii")
                text = "the process ended while it loaded %s (time %d of %d)"
                logger.error(text, model.partition(" ")[0].strip(), count, MOST_CRASHES)
            path.unlink(missing_ok=True)

    def _charge(self, death: Death) -> None:
        """Tell of it, and whose fault it may be."""
        logger.error("the process was ended (%s)\n%s", death.reason, death.stack)
        for digest in death.digests:
            times = [*self._times_of(digest), time.time()]
            with suppress(OSError):
                lines = "".join(f"{each}\n" for each in times)
                self._predicting(digest).write_text(lines, "ascii")
            text = "that was while a model predicted whose digest is %s (time %d of %d in an hour)"
            logger.error(text, digest, len(times), MOST_CRASHES)

    def _times_of(self, digest: str) -> list[float]:
        """When it crashed of late, by `time.time()`."""
        try:
            lines = self._predicting(digest).read_text("ascii").split()
            return [each for each in map(float, lines) if 0 <= time.time() - each < ASIDE_S]
        except (OSError, ValueError):
            return []

    def _predicting(self, digest: str) -> Path:
        return self._counts / f"{digest}.predicting"

    def _crashes_of(self, digest: str) -> int:
        try:
            return int((self._counts / digest).read_text("ascii"))
        except (OSError, ValueError):
            return 0

    @contextmanager
    def _turn(self, *, is_suspect: bool) -> Iterator[None]:
        with self._turns:
            self._waiting += is_suspect
            self._turns.wait_for(
                lambda: not self._is_alone and not (self._inside if is_suspect else self._waiting),
                _PATIENCE_S,
            )
            self._waiting -= is_suspect
            self._inside += 1
            self._is_alone = is_suspect
        try:
            yield
        finally:
            with self._turns:
                self._inside -= 1
                self._is_alone = False
                self._turns.notify_all()


class Attributed:
    """A model that is known by its digest when a fatal signal ends the process inside of it."""

    def __init__(self, model: Model, digest: str) -> None:
        self.model = model
        self.signature = model.signature
        self.is_steady = model.is_steady
        self._predict = told_apart(model.predict, digest)

    def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        """See `Model`."""
        return self._predict(batch, outputs)


class Untried:
    """A model of which nothing was asked at its load: until its first answer calls are noted."""

    def __init__(self, model: Model, crashes: Crashes, digest: str, label: str) -> None:
        self._model = model
        self._crashes = crashes
        self._digest = digest
        self._label = label
        self._is_tried = False
        self.signature = model.signature
        self.is_steady = model.is_steady

    def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        """See `Model`."""
        if self._is_tried:
            return self._model.predict(batch, outputs)
        with self._crashes.noted(self._digest, self._label):
            prediction = self._model.predict(batch, outputs)
        self._is_tried = True
        self._crashes.forget(self._digest)
        return prediction
