"""A container in Blob storage, or a prefix of one, with `NAME/VERSION/...` as in a folder."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from app.azure import transfers
from app.azure.addresses import container_of
from app.azure.blobs import BlobFolder, credential_for
from app.errors import ModelNotFound
from app.manifest import is_model_file
from app.registries import Details, Progress, is_name, nobody, version_age
from app.tensors import ModelRef

if TYPE_CHECKING:
    from app.azure.access import Access

_ONLY: Final = "1"
"""The version of a model at the root of its folder."""


class BlobRegistry:
    """`https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX][?SIGNATURE]`."""

    def __init__(self, name: str, url: str, access: Access, identity: str) -> None:
        self.name = name
        found = container_of(url)
        if found is None:
            raise ValueError("a registry in Blob storage is at https://ACCOUNT.blob.../CONTAINER")
        place = f"{found.account_url}/{found.container}/{found.path}"
        self.key = hashlib.sha256(place.encode()).hexdigest()[:16]
        self._transfers = access.transfers
        self._root = BlobFolder(
            found.account_url,
            found.container,
            found.path,
            credential_for(url, found.account_url, access, identity),
        )

    def describe(self) -> dict[str, str]:
        """See `Registry`."""
        self._root.folders()
        return {}

    def resolve(self, name: str, version: str | None) -> ModelRef:
        """See `Registry`; the newest is the highest number, or the last in natural order."""
        versions = self.versions(name) if is_name(name) else []
        if not versions:
            near = difflib.get_close_matches(name, self.names(), n=3)
            raise ModelNotFound(f"no model {name[:255]!r} in the registry", near=near)
        if version is not None and version not in versions:
            near = difflib.get_close_matches(version, versions, n=3) or versions[:-4:-1]
            raise ModelNotFound(
                f"model {name} has no version {version[:255]!r}",
                near=[f"{name}:{v}" for v in near],
            )
        return ModelRef(self.name, name, version or versions[-1])

    def names(self) -> list[str]:
        """See `Registry`; folders whose names no model may have are left out."""
        folders, _ = self._root.folders()
        return sorted(filter(_is_model, folders))

    def versions(self, name: str) -> list[str]:
        """See `Registry`; numbers, after them the others in natural order."""
        folders, files = self._root.folders(name)
        return (
            [_ONLY]
            if _is_whole(folders, files)
            else sorted(filter(_is_model, folders), key=version_age)
        )

    def details(self, ref: ModelRef) -> Details:
        """See `Registry`; a folder's manifest tells, which is read when it is loaded."""
        self.resolve(ref.name, ref.version)
        return Details()

    def fetch(self, ref: ModelRef, target: Path, told: Progress = nobody) -> Path:
        """See `Registry`."""
        self.resolve(ref.name, ref.version)
        is_whole = _is_whole(*self._root.folders(ref.name))
        below = [ref.name] if is_whole else [ref.name, ref.version]
        prefix = PurePosixPath(self._root.prefix, *below).as_posix()
        folder = replace(self._root, prefix=prefix)
        transfers.fetch(folder, folder.files(), target, self._transfers, told)
        return target


def _is_whole(folders: list[str], files: list[str]) -> bool:
    """A model lies here itself, not in folders of its versions."""
    return any(map(is_model_file, files)) or bool(files and not any(map(_is_model, folders)))


def _is_model(name: str) -> bool:
    return is_name(name) and not name.startswith(".") and name != "__pycache__"
