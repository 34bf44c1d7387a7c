"""Models whose files are edited while they are served, for who writes them: `serve --reload`.

Not here: newer versions of a name (`entry`), and how a model takes its own place (`pool`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.catalog.entries import Entries
from app.catalog.entry import Entry
from app.catalog.status import State
from app.errors import ServingError
from app.manifest import RUNTIME_OF
from app.pool import Pool
from app.tensors import ModelRef

logger = logging.getLogger(__name__)

LOOK_S: Final = 0.25
"""How often the files are looked at; and what was changed must stay as it is for so long."""

_CODE: Final = ".py"
_WEIGHTS: Final = (".bin", ".h5", ".keras", ".npy", ".npz", ".pt", ".pth", ".safetensors")
_WATCHED: Final = frozenset({_CODE, ".json", ".yaml", ".yml", *RUNTIME_OF, *_WEIGHTS})
"""Suffixes. Logs and what else a script may write beside itself have others."""
_PASSED_BY: Final = ("__pycache__", "node_modules", "site-packages")

Files = Mapping[Path, tuple[int, int]]
"""Those that are watched -> when each was changed, in nanoseconds, and its size."""


@dataclass(slots=True)
class _Seen:
    """The files of one model."""

    taken: Files
    """As they were when they were last loaded, or tried."""
    last: Files
    """At the last look."""
    was_loading: bool = False


class Edits:
    """Looks at the files of every model that is in memory, or failed to come there."""

    def __init__(
        self,
        entries: Entries,
        pool: Pool,
        spawn: Callable[[Coroutine[None, None, None]], None],
    ) -> None:
        """Of registries whose models are served from where they lie. `spawn`: begins a task."""
        self._entries = entries
        self._pool = pool
        self._spawn = spawn
        self._seen: dict[ModelRef, _Seen] = {}
        self._loading: set[ModelRef] = set()
        self._looked_at = time.time_ns()

    async def keep(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Now; what has changed begins to be loaded."""
        watched: dict[ModelRef, list[Entry]] = {}
        for entry in self._entries:
            if entry.ref is not None and entry.state is not State.KNOWN:
                watched.setdefault(entry.ref, []).append(entry)
        self._seen = {ref: seen for ref, seen in self._seen.items() if ref in watched}
        looked_at, now = self._looked_at, time.time_ns()
        for ref, entries in watched.items():
            found = await asyncio.to_thread(self._files, ref, entries[0])
            is_loading = any(entry.state is State.LOADING for entry in entries)
            self._seen.setdefault(ref, _Seen(_older(found, looked_at), found))
            if self._has_changed(ref, found, is_loading or ref in self._loading):
                self._loading.add(ref)
                self._spawn(self._load(ref, entries))
        self._looked_at = now

    def _has_changed(self, ref: ModelRef, found: Files, is_loading: bool) -> bool:
        """They are others than those taken, which they are from now on."""
        seen = self._seen[ref]
        if seen.was_loading and not is_loading:
            seen.taken = _with_own(seen.taken, found)
        seen.was_loading = is_loading
        is_still, seen.last = found == seen.last, found
        if is_loading or not is_still or found == seen.taken:
            return False
        seen.taken, seen.was_loading = found, True
        return True

    async def _load(self, ref: ModelRef, entries: list[Entry]) -> None:
        logger.info("the files of %s have changed", ref)
        try:
            if self._pool.peek(ref) is None:
                await asyncio.gather(*(entry.try_now() for entry in entries))
            else:
                await self._replace(ref, entries)
        finally:
            self._loading.discard(ref)

    async def _replace(self, ref: ModelRef, entries: list[Entry]) -> None:
        """What is in memory, once the new one is; if it fails to load, that goes on."""
        first, reason = entries[0], ""
        try:
            await self._pool.again(ref, first.registry, first.wanted.options)
        except ServingError as error:
            reason = error.message
            logger.warning("%s was not loaded again and answers as before: %s", ref, reason)
        for entry in entries:
            entry.not_reloaded = reason

    def _files(self, ref: ModelRef, entry: Entry) -> Files:
        """Blocking."""
        script, loaded = entry.wanted.options.script, self._pool.peek(ref)
        named = () if loaded is None else (loaded.manifest.file,)
        if script is not None:
            return files({script.folder, script.file.parent, *script.imports}, named)
        try:
            return files([entry.registry.fetch(ref, Path())], named)  # in place
        except (ServingError, OSError):  # just taken away
            return {}


def files(folders: Iterable[Path], named: Iterable[Path] = ()) -> Files:
    """Those in `folders` that are watched, and those `named`. Blocking."""
    found = {path for folder in folders for path in _watched(folder)}
    statuses = ((path, _status(path)) for path in (*found, *named))
    return {path: status for path, status in statuses if status is not None}


def _watched(top: Path) -> Iterator[Path]:
    """Not what hides, nor what an interpreter or a package manager puts there."""
    for folder, folders, names in os.walk(top):
        if folder != str(top) and "pyvenv.cfg" in names:
            folders.clear()
            continue
        folders[:] = [f for f in folders if not f.startswith(".") and f not in _PASSED_BY]
        for name in names:
            if not name.startswith(".") and (Path(name).suffix in _WATCHED or name == "MLmodel"):
                yield Path(folder, name)


def _status(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:  # just taken away
        return None
    return status.st_mtime_ns, status.st_size


def _older(found: Files, looked_at: int) -> Files:
    """Without edits since then, of which it is not known whether a load has read them."""
    own = _own(found)
    return {p: status for p, status in found.items() if p in own or status[0] < looked_at}


def _with_own(taken: Files, found: Files) -> Files:
    """As they were taken, and what a script has written beside itself since."""
    own = _own(found)
    kept = {p: status for p, status in taken.items() if not own or p.suffix == _CODE}
    return {**kept, **own}


def _own(found: Files) -> Files:
    """What a script may write while it is loaded: beside code, all that is none."""
    has_code = any(path.suffix == _CODE for path in found)
    return {p: status for p, status in found.items() if has_code and p.suffix != _CODE}
