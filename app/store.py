"""Model folders on disk: fetched once for all processes of a node, whole or not there at all.

models/KEY/NAME/VERSION/    published by one rename
partial/ID/                 being fetched, by the holder of the lock of the same name; or leaving
locks/ID, locks/room        ID is a hash: key, name and version are too long for one file name
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from app.errors import ModelInvalid, ModelUnavailable
from app.registries import Registry
from app.tensors import ModelRef

_ROOM: Final = "room"
"""The lock of whoever counts, evicts and publishes."""


class Store:
    """A folder that several processes may share. Its methods block."""

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        self._folder = folder
        self._budget_bytes = budget_bytes

    def open(self) -> None:
        """Make the folders, and take away what a killed process left half done.

        Raises:
            OSError: the folder cannot be made or written.
        """
        for name in ("models", "partial", "locks"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        with self._locked(_ROOM, wait=False):
            pass  # so that a folder that is there and cannot be written is told now
        for leftover in (self._folder / "partial").iterdir():
            with self._locked(leftover.name, wait=False) as is_mine:
                if is_mine:
                    shutil.rmtree(leftover, ignore_errors=True)

    def get(self, ref: ModelRef, registry: Registry) -> Path:
        """The folder of `ref`, fetched when it is not here yet.

        Raises:
            ModelNotFound, RegistryUnavailable: as `Registry.fetch`.
            ModelInvalid: the registry has no files for it.
            ModelUnavailable: the disk is full, or the files are more than the store may hold.
        """
        published = self._folder / "models" / registry.key / ref.name / ref.version
        try:
            if _is_used(published):
                return published
            with self._locked(_id(ref, registry), wait=True):
                return published if _is_used(published) else self._fetch(ref, registry, published)
        except OSError as error:
            raise self._failed(error) from error

    def size_bytes(self) -> int:
        """Of all published model folders."""
        return sum(_size(version) for version in self._versions())

    def _fetch(self, ref: ModelRef, registry: Registry, published: Path) -> Path:
        partial = self._folder / "partial" / _id(ref, registry)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            found = registry.fetch(ref, partial)
            if found != partial:
                return found
            if not any(path.is_file() for path in partial.rglob("*")):
                raise ModelInvalid(f"the registry has no files for {ref}")
            os.utime(partial)
            with self._locked(_ROOM, wait=True):
                self._make_room(_size(partial))
                published.parent.mkdir(parents=True, exist_ok=True)
                partial.rename(published)
            return published
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _make_room(self, wanted_bytes: int) -> None:
        """Delete the folders that were asked for longest ago. A loaded model lives on without."""
        if wanted_bytes > self._budget_bytes:
            raise ModelUnavailable(
                f"the model's files take {wanted_bytes} bytes, the cache may hold "
                f"{self._budget_bytes} (SERVE_CACHE_BYTES)"
            )
        sizes = {version: _size(version) for version in self._versions()}
        used = sum(sizes.values())
        for version in sorted(sizes, key=lambda path: path.stat().st_mtime_ns):
            if used + wanted_bytes <= self._budget_bytes:
                return
            used -= sizes[version]
            leaving = self._folder / "partial" / uuid.uuid4().hex
            version.rename(leaving)  # gone at once for the others, never half gone
            shutil.rmtree(leaving, ignore_errors=True)

    def _versions(self) -> list[Path]:
        return [path for path in (self._folder / "models").glob("*/*/*") if path.is_dir()]

    def _failed(self, error: OSError) -> ModelUnavailable:
        reason = error.strerror or type(error).__name__
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return ModelUnavailable(f"the model cache (SERVE_CACHE_DIR) failed: {reason}")
        free = shutil.disk_usage(self._folder).free
        return ModelUnavailable(f"the disk of the model cache is full ({free} bytes free)")

    @contextmanager
    def _locked(self, name: str, *, wait: bool) -> Iterator[bool]:
        """Between processes and threads (flock(2)); yields whether the lock was had."""
        with (self._folder / "locks" / name).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True


def _id(ref: ModelRef, registry: Registry) -> str:
    return hashlib.sha256(f"{registry.key}/{ref.name}/{ref.version}".encode()).hexdigest()[:32]


def _is_used(folder: Path) -> bool:
    """Whether `folder` is there; it is then the last to go."""
    try:
        os.utime(folder)
    except FileNotFoundError:
        return False
    return True


def _size(folder: Path) -> int:
    """Without the files that another process takes away meanwhile."""
    size = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            size += path.stat().st_size if path.is_file() else 0
    return size
