"""A registry over Azure ML: what is registered is asked of a client, its files of Blob storage."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from app.azure import transfers
from app.azure.faults import readable
from app.errors import ModelInvalid, ModelNotFound, RegistryUnavailable
from app.registries import Details, Progress, is_name, nobody
from app.registries.azureml import Metadata, ModelVersion, open_metadata
from app.tensors import ModelRef

if TYPE_CHECKING:
    from app.azure.access import Access

_LOOKED_AT: Final = 500
"""Names among which near ones are looked for."""
_REMEMBERED: Final = 1000


class AzureMLRegistry:
    """`azureml://workspace` or `azureml://registries/NAME`."""

    def __init__(self, name: str, url: str, access: Access, identity: str) -> None:
        self.name = name
        parts = urlsplit(url)
        registry = parts.path.strip("/") if parts.netloc == "registries" else None
        given = access.given
        if registry is None and not (
            given.subscription_id and given.resource_group and given.workspace_name
        ):
            raise ValueError(
                "azureml://workspace is the one that SUBSCRIPTION_ID, RESOURCE_GROUP and "
                "WORKSPACE_NAME name; set all three"
            )
        where = (given.subscription_id, given.resource_group, given.workspace_name)
        place = f"registries/{registry}" if registry else "/".join(map(str, where))
        self.key = hashlib.sha256(f"azureml://{place.lower()}".encode()).hexdigest()[:16]
        self._transfers = access.transfers
        self._metadata: Metadata = open_metadata(access, identity, registry)
        self._seen: dict[tuple[str, str], ModelVersion] = {}
        """Versions that were asked for; what they are does not change."""

    def describe(self) -> dict[str, str]:
        """See `Registry`."""
        with readable(self._metadata.place):
            return dict(self._metadata.describe())

    def resolve(self, name: str, version: str | None) -> ModelRef:
        """See `Registry`; the newest is the one created last."""
        return ModelRef(self.name, name, self._found(name, version).version)

    def names(self) -> list[str]:
        """See `Registry`; names that no path may have are left out."""
        with readable(self._metadata.place):
            return sorted(filter(is_name, self._metadata.names()))

    def versions(self, name: str) -> list[str]:
        """See `Registry`."""
        with readable(self._metadata.place):
            found = list(self._metadata.versions(name)) if is_name(name) else []
        return [model.version for model in sorted(found, key=lambda model: model.created_at)]

    def details(self, ref: ModelRef) -> Details:
        """See `Registry`."""
        return _details(self._known(ref))

    def fetch(self, ref: ModelRef, target: Path, told: Progress = nobody) -> Path:
        """See `Registry`."""
        model = self._known(ref)
        if not model.uri:
            raise ModelInvalid(f"{ref} was registered without files")
        with readable(self._metadata.place):
            folder = self._metadata.files(model)
        try:
            transfers.fetch(folder, folder.files(), target, self._transfers, told)
        finally:
            folder.close()
        return target

    def _known(self, ref: ModelRef) -> ModelVersion:
        return self._seen.get((ref.name, ref.version)) or self._found(ref.name, ref.version)

    def _found(self, name: str, version: str | None) -> ModelVersion:
        if not is_name(name):
            raise ModelNotFound(f"no model {name[:255]!r} in the registry")
        metadata, found = self._metadata, None
        with readable(metadata.place):
            if version is None:
                found = metadata.latest(name)
            elif is_name(version):
                found = metadata.version(name, version)
        if found is not None and is_name(found.version):
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            self._seen[name, found.version] = found
            return found
        known = self.versions(name) if version is not None else []
        if version is not None and known:
            near = difflib.get_close_matches(version, known, n=3) or known[:-4:-1]
            raise ModelNotFound(
                f"model {name} has no version {version[:255]!r}", near=[f"{name}:{v}" for v in near]
            )
        near = difflib.get_close_matches(name, list(self._some_names()), n=3)
        raise ModelNotFound(f"no model {name!r} in the registry", near=near)

    def _some_names(self) -> Iterator[str]:
        with suppress(RegistryUnavailable), readable(self._metadata.place):
            yield from islice(self._metadata.names(), _LOOKED_AT)


def _details(model: ModelVersion) -> Details:
    return Details(
        description=model.description,
        stage=model.stage,
        created_at=model.created_at,
        tags=model.tags,
        properties=model.properties,
    )
