"""What an administrator has asked for since the start: a file that all workers of a pod read, and
that outlives them. It goes over what the settings list.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from app.catalog.status import Wanted
from app.registries import is_name

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Desired:
    """Of one name; what is None is left to the settings."""

    loaded: tuple[str | None, ...] = ()
    """Versions to be there besides those listed; None is the newest."""
    is_unloaded: bool = False
    """No version of it is served, whoever asks."""
    labels: Mapping[str, str] | None = None
    traffic: Mapping[str, float] | None = None
    refreshes: int = 0
    """How often a look for a newer version was asked for."""

    @classmethod
    def of(cls, told: Any) -> Self:
        """From what JSON made of one. Raises: TypeError, ValueError: it is none."""
        given = dict(told)
        given["loaded"] = tuple(given.get("loaded", ()))
        labels, traffic = given.get("labels") or {}, given.get("traffic") or {}
        names = [*given["loaded"], *labels.values(), *traffic]
        if not all(name is None or is_name(name) for name in names):
            raise ValueError("a version is one path segment")
        return cls(**given)


@dataclass(frozen=True, slots=True)
class Desires:
    """Of all names."""

    by_name: Mapping[str, Desired] = field(default_factory=dict)

    def over(self, listed: Iterable[Wanted], unlisted: Callable[[str], Wanted]) -> list[Wanted]:
        """What is to be served: `listed`, as changed by what is desired.

        Args:
            unlisted: what holds for a name that is not listed.
        """
        wanted = [model for model in listed if not self.of(model.name).is_unloaded]
        for name, desired in self.by_name.items():
            if desired.is_unloaded:
                continue
            versions = [model.version for model in wanted if model.name == name]
            base = next((m for m in wanted if m.name == name), unlisted(name))
            extra = [v for v in desired.loaded if v not in versions]
            wanted += [
                replace(base, version=v, is_preloaded=True, is_required=False) for v in extra
            ]
            lineup = base.lineup
            if desired.labels is not None:
                lineup = replace(lineup, labels=desired.labels)
            if desired.traffic is not None:
                lineup = replace(lineup, traffic=desired.traffic)
            if lineup != base.lineup:
                wanted = [replace(m, lineup=lineup) if m.name == name else m for m in wanted]
                if not versions and not extra:
                    wanted.append(replace(base, lineup=lineup))
        return wanted

    def of(self, name: str) -> Desired:
        """Of one name; nothing is desired of most."""
        return self.by_name.get(name, Desired())


class DesiredFile:
    """The file itself. Its methods block, for a moment."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None

    def changed(self) -> Desires | None:
        """What it says, when that is new since the last time; None when it is not."""
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_ino)
        except OSError:
            seen = None
        if seen == self._seen:
            return None
        self._seen = seen
        return self.read()

    def read(self) -> Desires:
        """What it says now; one that cannot be read says nothing."""
        try:
            told = json.loads(self._path.read_bytes())
            return Desires({name: Desired.of(each) for name, each in told["models"].items()})
        except FileNotFoundError:
            return Desires()
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            logger.warning("what was asked for by admin routes cannot be read: %s", error)
            return Desires()

    def change(self, name: str, change: Callable[[Desired], Desired]) -> None:
        """Of one name, by one process after the other. Raises: OSError: it cannot be written."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self.read()
            after = {**before.by_name, name: change(before.of(name))}
            told = {"models": {name: asdict(each) for name, each in after.items()}}
            beside = self._path.with_name(f".{uuid.uuid4().hex}")
            try:
                beside.write_text(json.dumps(told), "utf-8")
                os.replace(beside, self._path)
            finally:
                with suppress(OSError):
                    beside.unlink()
