"""A folder of `NAME/VERSION/` folders; `NAME/` is version 1 when a model lies at its root."""

from __future__ import annotations

import difflib
import errno
import hashlib
import os
import shutil
import stat
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import yaml

from app import manifest
from app.errors import ModelInvalid, ModelNotFound, RegistryUnavailable
from app.registries import Details, Progress, Refused, is_name, nobody, taken, version_age
from app.tensors import ModelRef

if TYPE_CHECKING:
    from app.azure.access import Access

_ONLY: Final = "1"
"""The version of a model at the root of its folder."""


class LocalRegistry:
    """Models are served from where they lie; a registered one is a copy. Also a `Registrar`."""

    def __init__(
        self, name: str, url: str, access: Access | None = None, identity: str = ""
    ) -> None:
        """A folder asks nobody: `access` and `identity` are not looked at."""
        self.name = name
        self.folder = _folder(url).resolve()
        self.key = hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]

    def describe(self) -> dict[str, str]:
        """See `Registry`; nothing is told of a folder."""
        self.names()
        return {}

    def resolve(self, name: str, version: str | None) -> ModelRef:
        """See `Registry`; the newest is the highest number, or the last in natural order."""
        if not self._has(name):  # not by names(): there may be thousands
            near = difflib.get_close_matches(name, self.names(), n=3)
            raise ModelNotFound(f"no model {name[:255]!r} in the registry", near=near)
        versions = self._versions(name)
        if version is not None and version not in versions:
            raise ModelNotFound(
                f"model {name} has no version {version[:255]!r}",
                near=[f"{name}:{v}" for v in _near(version, versions)],
            )
        return ModelRef(self.name, name, version or versions[-1])

    def names(self) -> list[str]:
        """See `Registry`; folders whose names no model may have are left out."""
        try:
            with os.scandir(self.folder) as found:
                return sorted(f.name for f in found if _is_model(f.name) and f.is_dir())
        except OSError as error:
            raise _unavailable(error) from error

    def versions(self, name: str) -> list[str]:
        """See `Registry`; numbers, after them the others in natural order."""
        return self._versions(name) if self._has(name) else []

    def details(self, ref: ModelRef) -> Details:
        """See `Registry`; as the manifest tells, and the time of the folder."""
        self.resolve(ref.name, ref.version)
        folder = self.fetch(ref, self.folder)
        try:
            stated, changed_s = manifest.read(folder), folder.stat().st_mtime
        except (ModelInvalid, OSError):  # its load says why
            return Details()
        at = datetime.fromtimestamp(int(changed_s), UTC).isoformat()
        return Details(description=stated.description, created_at=at, tags=stated.tags)

    def _has(self, name: str) -> bool:
        try:
            return _is_model(name) and stat.S_ISDIR((self.folder / name).stat().st_mode)
        except FileNotFoundError:
            return name in self.names()  # which tells when the registry's own folder is gone
        except OSError as error:
            raise _unavailable(error) from error

    def _versions(self, name: str) -> list[str]:
        """One at least: a folder with neither models nor versions is one too, so that its load
        can say so.
        """
        folder = self.folder / name
        try:
            if manifest.holds_model(folder):
                return [_ONLY]
            names = [p.name for p in folder.iterdir() if p.is_dir() and _is_model(p.name)]
        except OSError as error:
            raise _unavailable(error) from error
        return sorted(names, key=version_age) or [_ONLY]

    def fetch(self, ref: ModelRef, target: Path, told: Progress = nobody) -> Path:
        """See `Registry`; never `target`."""
        self.resolve(ref.name, ref.version)
        folder = self.folder / ref.name
        is_whole = manifest.holds_model(folder) or not (folder / ref.version).is_dir()
        return folder if is_whole else folder / ref.version

    def register(self, name: str, source: Path, version: str | None, details: Details) -> str:
        """See `Registrar`; description and tags go to the copy's manifest. Two at once get two
        versions, and neither is seen before it is whole.
        """
        home, partial = self.folder / name, self.folder / f".{uuid.uuid4().hex}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if home.is_dir() and manifest.holds_model(home):
                raise Refused(
                    f"{name} in the registry is a model itself, not a folder of versions; move its "
                    f"files to {name}/{_ONLY}"
                )
            _copy(source, partial)
            _describe(partial / "manifest.yaml", details)
            os.utime(partial)
            home.mkdir(exist_ok=True)
            return publish(partial, home, version)
        except OSError as error:
            raise RegistryUnavailable(
                f"the registry folder cannot be written: {error.strerror or error}"
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        target.mkdir()
        shutil.copy2(source, target)


def _describe(file: Path, details: Details) -> None:
    """Put it into the manifest at `file`, which keeps all else."""
    given = {"description": details.description, "tags": dict(details.tags)}
    try:
        stated = yaml.safe_load(file.read_text("utf-8")) or {} if file.exists() else {}
        tags = {**stated.get("tags", {}), **details.tags}
    except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
        if not any(given.values()):
            return
        raise Refused("manifest.yaml cannot be read, so nothing can be added to it") from error
    told = {**stated, **{key: value for key, value in given.items() if value}}
    if tags:
        told["tags"] = tags
    if told != stated:
        text = yaml.safe_dump(told, sort_keys=False, allow_unicode=True)
        file.unlink(missing_ok=True)
        file.write_text(text, "utf-8")


def publish(partial: Path, home: Path, version: str | None) -> str:
    """Rename `partial` to its version in `home`, or with none to the next number that is free.

    Raises:
        Refused: there is that version already.
    """
    while True:
        numbers = [int(p.name) for p in home.iterdir() if is_name(p.name) and p.name.isdigit()]
        chosen = version or str(max(numbers, default=0) + 1)
        try:
            partial.rename(home / chosen)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            if version is not None:
                raise Refused(taken(home.name, version)) from None
        else:
            return chosen


def _folder(url: str) -> Path:
    """Of a file:// URL (RFC 8089), or a plain path, in which no character means anything."""
    if "://" not in url:
        return Path(url)
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise ValueError("a file:// URL has three slashes: file:///path")
    if parts.query or parts.fragment:
        raise ValueError("a file:// URL has no ? and no #; write them as %3F and %23")
    return Path(unquote(parts.path))


def _near(version: str, versions: list[str]) -> list[str]:
    """Versions written much like `version`, else the newest."""
    return difflib.get_close_matches(version, versions, n=3) or versions[:-4:-1]


def _unavailable(error: OSError) -> RegistryUnavailable:
    return RegistryUnavailable(f"the registry folder cannot be read: {error.strerror}")


def _is_model(name: str) -> bool:
    return is_name(name) and not name.startswith(".") and name != "__pycache__"
