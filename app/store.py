"""Model folders on disk: fetched once for all processes of a node, whole or not there at all.

models/KEY/NAME/VERSION/    published by one rename
converted/KEY/              what was made from a model, by digest; goes as models do
partial/ID/                 being fetched, by the holder of the lock of the same name; or leaving
locks/ID, locks/room        ID is a hash: key, name and version are too long for one file name;
                            shared by those who load it, who have a lease
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from app.errors import ModelInvalid, ModelUnavailable, RegistryUnavailable
from app.locks import Lease, locked
from app.notes import Answering, Notes
from app.registries import Details, Progress, Registry, is_name, nobody
from app.tensors import ModelRef

logger = logging.getLogger(__name__)

_ROOM: Final = "room"
"""The lock of whoever counts, evicts and publishes."""


class Store:
    """A folder that several processes may share. Its methods block."""

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        self._folder = folder
        self._budget_bytes = budget_bytes
        self._notes = Notes(folder)
        self._newest_found: dict[tuple[str, str], str] = {}
        """Registry's key and name -> what it last said is the newest."""

    def open(self) -> None:
        """Make the folders, and take away what a killed process left half done.

        Raises:
            OSError: the folder cannot be made or written.
        """
        for name in ("models", "converted", "partial", "locks"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        with locked(self._lock(_ROOM), wait=False):
            pass  # so that a folder that is there and cannot be written is told now
        for leftover in (self._folder / "partial").iterdir():
            with locked(self._lock(leftover.name), wait=False) as is_mine:
                if is_mine:
                    shutil.rmtree(leftover, ignore_errors=True)

    def resolve(self, name: str, version: str | None, registry: Registry) -> ModelRef:
        """The exact version. One that is here is not asked for, and while the registry is away the
        newest is the last that was found to be it, if it is here.

        Raises:
            ModelNotFound, RegistryUnavailable: as `Registry.resolve`.
        """
        if version is not None and is_name(name) and is_name(version):
            ref = ModelRef(registry.name, name, version)
            if self._published(ref, registry).is_dir():
                return ref
        if version is not None:
            return registry.resolve(name, version)
        try:
            return self.newest(name, registry)
        except RegistryUnavailable as error:
            kept = self._newest(name, registry)
            if kept is None:
                raise
            logger.warning("%s is served from the cache: %s", kept, error)
            return kept

    def newest(self, name: str, registry: Registry) -> ModelRef:
        """As the registry says now, which is remembered. Raises: as `Registry.resolve`."""
        ref = registry.resolve(name, None)
        self._newest_found[registry.key, name] = ref.version
        if self._published(ref, registry).is_dir():
            self._notes.write_newest(registry.key, name, ref.version)
        return ref

    def answering(self, name: str, registry: Registry) -> Answering:
        """Which version answered for `name` before this process began, or says another one."""
        return self._notes.answering(registry.key, name)

    def write_answering(self, name: str, registry: Registry, answering: Answering) -> None:
        """It does now."""
        self._notes.write_answering(registry.key, name, answering)

    def is_warm(self, registry: Registry) -> bool:
        """Some model of it is here."""
        return any(True for _ in (self._folder / "models" / registry.key).glob("*/*"))

    def details(self, ref: ModelRef, registry: Registry) -> Details:
        """What the registry told of `ref` when it was fetched."""
        return self._notes.details(registry.key, ref.name, ref.version)

    def find(self, ref: ModelRef, registry: Registry) -> Path | None:
        """The folder of `ref` when it is here already."""
        published = self._published(ref, registry)
        return published if published.is_dir() else None

    def get(self, ref: ModelRef, registry: Registry, told: Progress = nobody) -> Path:
        """The folder of `ref`, fetched when it is not here yet.

        Raises:
            ModelNotFound, RegistryUnavailable: as `Registry.fetch`.
            ModelInvalid: the registry has no files for it.
            ModelUnavailable: the disk is full, or the files are more than the store may hold.
        """
        published = self._published(ref, registry)
        try:
            if _is_used(published):
                return published
            with locked(self._lock(_id(ref, registry))):
                return published if _is_used(published) else self._fetch(ref, registry, told)
        except OSError as error:
            raise self._failed(error) from error

    def made(self, key: str, make: Callable[[Path], None]) -> Path:
        """The folder of `key`, of letters and digits, filled by `make` when it is not here yet.

        Raises:
            ModelUnavailable: the disk is full, or the files are more than the store may hold.
        """
        published = self._place("converted", key)
        try:
            if _is_used(published):
                return published
            with locked(self._lock(key)):
                if _is_used(published):
                    return published
                with self._partial(key) as partial:
                    make(partial)
                    self._publish(partial, published)
                return published
        except OSError as error:
            raise self._failed(error) from error

    def lease(self, ref: ModelRef, registry: Registry, told: Progress = nobody) -> Lease:
        """As `get`, and it stays: others that need room take other folders. Raises: as `get`."""
        published = self._published(ref, registry)
        while True:
            folder = self.get(ref, registry, told)
            if folder != published:  # in place, where nothing of ours is
                return Lease(folder)
            try:
                lease = Lease.of(folder, self._lock(_id(ref, registry)))
            except OSError as error:
                raise self._failed(error) from error
            if published.is_dir():
                return lease
            lease.close()  # taken away just before

    def size_bytes(self) -> int:
        """Of all published folders."""
        return sum(_size(version) for version in self._versions())

    def _fetch(self, ref: ModelRef, registry: Registry, told: Progress) -> Path:
        published = self._published(ref, registry)
        with self._partial(_id(ref, registry)) as partial:
            found = registry.fetch(ref, partial, told)
            if found != partial:
                return found
            details = registry.details(ref)
            self._notes.write_details(registry.key, ref.name, ref.version, details)
            if not any(path.is_file() for path in partial.rglob("*")):
                raise ModelInvalid(f"the registry has no files for {ref}")
            self._publish(partial, published)
            if self._newest_found.get((registry.key, ref.name)) == ref.version:
                self._notes.write_newest(registry.key, ref.name, ref.version)
            return published

    @contextmanager
    def _partial(self, name: str) -> Iterator[Path]:
        """An empty folder, for the holder of the lock `name`; gone afterwards."""
        partial = self._folder / "partial" / name
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _publish(self, partial: Path, published: Path) -> None:
        os.utime(partial)
        with locked(self._lock(_ROOM)):
            self._make_room(_size(partial))
            published.parent.mkdir(parents=True, exist_ok=True)
            partial.rename(published)

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
            if self._remove(version):
                used -= sizes[version]
        if used + wanted_bytes > self._budget_bytes:
            raise ModelUnavailable(
                f"the model's files take {wanted_bytes} bytes; models that are being loaded have "
                f"{used} of the {self._budget_bytes} that the cache may hold (SERVE_CACHE_BYTES)"
            )

    def _remove(self, version: Path) -> bool:
        """Unless it is leased."""
        with locked(self._lock(_id_of(*version.parts[-3:])), wait=False) as is_mine:
            if is_mine:
                leaving = self._folder / "partial" / uuid.uuid4().hex
                version.rename(leaving)  # gone at once for the others, never half gone
                shutil.rmtree(leaving, ignore_errors=True)
                self._notes.forget(*version.parts[-3:])
            return is_mine

    def _published(self, ref: ModelRef, registry: Registry) -> Path:
        return self._place("models", registry.key, ref.name, ref.version)

    def _place(self, *parts: str) -> Path:
        return self._folder.joinpath(*parts)

    def _newest(self, name: str, registry: Registry) -> ModelRef | None:
        """The last of the versions found to be the newest that is here."""
        refs = (ModelRef(registry.name, name, v) for v in self._notes.newest(registry.key, name))
        return next((ref for ref in refs if self._published(ref, registry).is_dir()), None)

    def _versions(self) -> list[Path]:
        """All that is published, what was made from models too."""
        found = [*(self._folder / "models").glob("*/*/*"), *(self._folder / "converted").glob("*")]
        return [path for path in found if path.is_dir()]

    def _failed(self, error: OSError) -> ModelUnavailable:
        reason = error.strerror or type(error).__name__
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return ModelUnavailable(f"the model cache (SERVE_CACHE_DIR) failed: {reason}")
        free = shutil.disk_usage(self._folder).free
        return ModelUnavailable(f"the disk of the model cache is full ({free} bytes free)")

    def _lock(self, name: str) -> Path:
        return self._folder / "locks" / name


def _id(ref: ModelRef, registry: Registry) -> str:
    return _id_of(registry.key, ref.name, ref.version)


def _id_of(key: str, name: str, version: str) -> str:
    return hashlib.sha256(f"{key}/{name}/{version}".encode()).hexdigest()[:32]


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
