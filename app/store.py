"""Model folders on disk: fetched once for all processes of a node, whole or not there at all.

models/KEY/NAME/VERSION/    published by one rename
partial/LOCK/               being fetched, by the holder of the lock of the same name
locks/LOCK
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import ModelInvalid, ModelUnavailable
from app.registries import Registry
from app.tensors import ModelRef


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
        for leftover in (self._folder / "partial").iterdir():
            with self._locked(leftover.name, wait=False) as is_mine:
                if is_mine:
                    shutil.rmtree(leftover, ignore_errors=True)

    def get(self, ref: ModelRef, registry: Registry) -> Path:
        """The folder of `ref`, fetched when it is not here yet.

        Raises:
            ModelNotFound, RegistryUnavailable: as `Registry.fetch`.
            ModelInvalid: the registry has no files for it.
            ModelUnavailable: the disk is full.
        """
        published = self._folder / "models" / registry.key / ref.name / ref.version
        lock = f"{registry.key}@{ref.name}@{ref.version}"
        try:
            if published.is_dir():
                os.utime(published)
                return published
            with self._locked(lock, wait=True):
                return published if published.is_dir() else self._fetch(ref, registry, published)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise ModelUnavailable(f"the model cache failed: {error.strerror}") from error
            free = shutil.disk_usage(self._folder).free
            raise ModelUnavailable(
                f"the disk of the model cache is full ({free} bytes free)"
            ) from error

    def size_bytes(self) -> int:
        """Of all published model folders."""
        return sum(_size(version) for version in self._versions())

    def _fetch(self, ref: ModelRef, registry: Registry, published: Path) -> Path:
        partial = self._folder / "partial" / f"{registry.key}@{ref.name}@{ref.version}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            found = registry.fetch(ref, partial)
            if found != partial:
                return found
            if not any(path.is_file() for path in partial.rglob("*")):
                raise ModelInvalid(f"the registry has no files for {ref}")
            self._make_room(_size(partial))
            published.parent.mkdir(parents=True, exist_ok=True)
            partial.rename(published)
            return published
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _make_room(self, wanted_bytes: int) -> None:
        """Delete the folders that were asked for longest ago. A loaded model lives on without."""
        versions = sorted(self._versions(), key=lambda path: path.stat().st_mtime)
        used = sum(_size(version) for version in versions)
        for version in versions:
            if used + wanted_bytes <= self._budget_bytes:
                return
            used -= _size(version)
            shutil.rmtree(version, ignore_errors=True)
        if wanted_bytes > self._budget_bytes:
            raise ModelUnavailable(
                f"the model's files take {wanted_bytes} bytes, the cache holds {self._budget_bytes}"
            )

    def _versions(self) -> list[Path]:
        return [path for path in (self._folder / "models").glob("*/*/*") if path.is_dir()]

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


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
