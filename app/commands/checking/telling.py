"""What the process that loads a model tells the one that started it: a JSON object a line."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Mapping
from typing import Any, Final, TextIO

from app.commands.checking.report import Finding
from app.telemetry.logs import redacted

_PAUSE_S: Final = 0.1
"""Between two words on how far a fetch is."""
_STEP_OF: Final[Mapping[str, str]] = {
    "app.golden": "golden",
    "app.memory": "memory",
    "app.runtimes.sklearn.pickles": "versions",
    "app.store": "files",
}
"""Logger -> the step that its warnings belong to; others belong to the present one."""
_TOLD_ELSEWHERE: Final = ("app.acceleration", "app.loader", "app.main.sources")
"""Loggers whose warnings are findings already, or are not of the model."""
_TOLD_IN_FINDINGS: Final = ("made-up rows do not run", "%s was trained with")


class Telling:
    """Each thing is told at once: what comes next may end the process."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told_at = 0.0
        self.step = "files"
        """The present one."""

    def at(self, step: str) -> None:
        """A step begins."""
        self.step = step
        self._write({"at": step})

    def progress(self, done_bytes: int, size_bytes: int) -> None:
        """See `registries.Progress`."""
        now = time.monotonic()
        if now - self._told_at >= _PAUSE_S or done_bytes >= size_bytes:
            self._told_at = now
            self._write({"done": done_bytes, "size": size_bytes})

    def find(self, finding: Finding) -> None:
        """It is known."""
        self._write({"finding": dataclasses.asdict(finding)})

    def ok(self, step: str, text: str, **facts: Any) -> None:
        """As it should be."""
        self.find(Finding(step, "ok", text, facts))

    def warn(self, step: str, text: str, **facts: Any) -> None:
        """It is served all the same."""
        self.find(Finding(step, "warning", text, facts))

    def refuse(self, step: str, text: str) -> None:
        """It is not served."""
        self.find(Finding(step, "refused", redacted(text)))

    def wrong(self, text: str, *, is_unknown: bool = False) -> None:
        """There is nothing to be checked."""
        self._write({"wrong": text, "is_unknown": is_unknown})

    def end(self) -> None:
        """All is told; otherwise the process has crashed."""
        self._write({"end": True})

    def _write(self, told: Mapping[str, Any]) -> None:
        self._stream.write(json.dumps(told, default=str) + "\n")
        self._stream.flush()


class Warnings(logging.Handler):
    """What is logged meanwhile becomes findings."""

    def __init__(self, telling: Telling) -> None:
        super().__init__(logging.WARNING)
        self._telling = telling
        self._told: set[tuple[str, str]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        text = record.getMessage()
        if record.name in _TOLD_ELSEWHERE or str(record.msg).startswith(_TOLD_IN_FINDINGS):
            return
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            text = f"{text}: {type(error).__name__}: {error}"
        step = _STEP_OF.get(record.name, self._telling.step)
        if (step, text) not in self._told:  # it may be loaded twice
            self._told.add((step, text))
            self._telling.warn(step, redacted(text)[:500])
