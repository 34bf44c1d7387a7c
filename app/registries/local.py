"""A folder of `NAME/VERSION/` folders; `NAME/` is version 1 when a model lies at its root."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from app import manifest
from app.errors import ModelNotFound, RegistryUnavailable
from app.registries import is_name, version_age
from app.tensors import ModelRef

_ONLY: Final = "1"
"""The version of a model at the root of its folder."""


class LocalRegistry:
    """Models are served from where they lie; nothing is copied."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost"):
            raise ValueError("a file:// URL has three slashes: file:///path")
        self.folder = Path(unquote(parts.path)).resolve()
        self.key = hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]

    def resolve(self, name: str, version: str | None) -> ModelRef:
        """See `Registry`; the newest is the highest number, or the last in natural order."""
        names = self.names()
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3)
            raise ModelNotFound(f"no model {name[:255]!r} in the registry", near=near)
        versions = self.versions(name)
        if version is not None and version not in versions:
            raise ModelNotFound(
                f"model {name} has no version {version[:255]!r}",
                near=[f"{name}:{v}" for v in versions],
            )
        return ModelRef(self.name, name, version or (versions[-1] if versions else _ONLY))

    def names(self) -> list[str]:
        """See `Registry`; folders whose names no model may have are left out."""
        try:
            folders = [path for path in self.folder.iterdir() if path.is_dir()]
        except OSError as error:
            raise RegistryUnavailable(
                f"the registry folder cannot be read: {error.strerror}"
            ) from error
        return sorted(path.name for path in folders if _is_model(path.name))

    def versions(self, name: str) -> list[str]:
        """Oldest first: numbers, after them the others in natural order."""
        folder = self.folder / name
        if manifest.holds_model(folder):
            return [_ONLY]
        names = [p.name for p in folder.iterdir() if p.is_dir() and _is_model(p.name)]
        return sorted(names, key=version_age)

    def fetch(self, ref: ModelRef, target: Path) -> Path:
        """See `Registry`; never `target`."""
        folder = self.folder / ref.name
        if not folder.is_dir():
            raise ModelNotFound(f"no model {ref.name!r} in the registry")
        if ref.version == _ONLY and not (folder / _ONLY).is_dir():
            return folder
        if not (folder / ref.version).is_dir():
            raise ModelNotFound(f"model {ref.name} has no version {ref.version!r}")
        return folder / ref.version


def _is_model(name: str) -> bool:
    return is_name(name) and not name.startswith(".") and name != "__pycache__"
