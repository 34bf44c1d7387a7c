"""What is known of the models in the store after a restart, and while registries are away.

details/KEY/NAME/VERSION    what its registry told of a version, as JSON
latest/KEY/NAME             versions that were the newest, one a line, the last one first
answering/KEY/NAME          which version answered last, as JSON
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.registries import Details, is_name

_KEPT: Final = 5
"""Newest versions."""


@dataclass(frozen=True, slots=True)
class Answering:
    """Which version answers for a name where the newest may not."""

    version: str = ""
    """The last one that did; empty: none yet."""
    refused: str = ""
    """A newer one that failed too often; empty: none."""
    reason: str = ""
    """Of the refusal, for people."""


class Notes:
    """Small files in the folder of the store; KEY is a registry's. Its methods block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def details(self, key: str, name: str, version: str) -> Details:
        """As they were written; none when they cannot be read."""
        try:
            return Details(**json.loads(self._details(key, name, version).read_bytes()))
        except (OSError, ValueError, TypeError):
            return Details()

    def write_details(self, key: str, name: str, version: str, details: Details) -> None:
        """Raises: OSError."""
        _write(self._details(key, name, version), json.dumps(dataclasses.asdict(details)))

    def forget(self, key: str, name: str, version: str) -> None:
        """The version has left the store."""
        self._details(key, name, version).unlink(missing_ok=True)

    def newest(self, key: str, name: str) -> list[str]:
        """Versions that were the newest, the last one first; none of an odd name."""
        if not is_name(name):
            return []
        try:
            told = (self._folder / "latest" / key / name).read_text("utf-8")
        except (OSError, ValueError):
            return []
        return [version for version in told.split() if is_name(version)]

    def write_newest(self, key: str, name: str, version: str) -> None:
        """It is the newest now. Best effort: without it a restart needs the registry."""
        before = self.newest(key, name)
        if before[:1] != [version]:
            others = [other for other in before if other != version]
            text = "\n".join([version, *others[: _KEPT - 1]])
            with suppress(OSError):
                _write(self._folder / "latest" / key / name, text)

    def answering(self, key: str, name: str) -> Answering:
        """As it was written; nothing when it cannot be read."""
        try:
            told = json.loads((self._folder / "answering" / key / name).read_bytes())
            return Answering(**{part: str(told[part]) for part in told})
        except (OSError, ValueError, TypeError):
            return Answering()

    def write_answering(self, key: str, name: str, answering: Answering) -> None:
        """Best effort: without it a restart tries the newest."""
        if is_name(name) and answering != self.answering(key, name):
            text = json.dumps(dataclasses.asdict(answering))
            with suppress(OSError):
                _write(self._folder / "answering" / key / name, text)

    def _details(self, key: str, name: str, version: str) -> Path:
        return self._folder / "details" / key / name / version


def _write(path: Path, text: str) -> None:
    """Whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{uuid.uuid4().hex}")
    try:
        beside.write_text(text, "utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
