"""Where models come from. A registry fetches files; it knows nothing of formats."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast
from urllib.parse import urlsplit

from app.imports import imported
from app.tensors import ModelRef

if TYPE_CHECKING:
    from app.azure.access import Access

REGISTRIES: Final = {
    "azureml": "app.registries.azureml.registry:AzureMLRegistry",
    "file": "app.registries.local:LocalRegistry",
    "https": "app.registries.azureblob:BlobRegistry",
    "script": "app.registries.script:OneScript",
}
"""Scheme of a registry's URL -> its class."""

REGISTRARS: Final = {
    "azureml": "app.registries.azureml.register:AzureMLRegistrar",
    "file": "app.registries.local:LocalRegistry",
}
"""Scheme of a registry's URL -> the class that registers models there."""

Progress = Callable[[int, int], None]
"""Told bytes that are here, and bytes in all; by any thread."""

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,255}")


@dataclass(frozen=True, slots=True)
class Details:
    """What a registry knows of a version besides its files."""

    description: str = ""
    stage: str = ""
    created_at: str = ""
    """ISO 8601."""
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A model that is not registered; the text says why, and what mends it."""


def taken(name: str, version: str) -> str:
    """Why a version is `Refused` that is there."""
    return (
        f"{name}:{version} is registered already, and a version never changes; leave out --version "
        "for the next number"
    )


def nobody(done_bytes: int, size_bytes: int) -> None:
    """The `Progress` that tells nobody."""


class Registry(Protocol):
    """All methods block; they are called in a loading thread."""

    name: str
    """As in the configuration; the `registry` of its `ModelRef`s."""
    key: str
    """Different for registries at different places, whatever their names; part of a path."""

    def describe(self) -> dict[str, str]:
        """The place itself: id, name, location, as far as it has them; never a key.

        Raises:
            RegistryUnavailable: the registry cannot be read now.
        """
        ...

    def resolve(self, name: str, version: str | None) -> ModelRef:
        """The exact version; None means the newest.

        Raises:
            ModelNotFound: no such name or version; it tells names much like it.
            RegistryUnavailable: the registry cannot be read now.
        """
        ...

    def names(self) -> list[str]:
        """The names of all models, sorted.

        Raises:
            RegistryUnavailable: the registry cannot be read now.
        """
        ...

    def versions(self, name: str) -> list[str]:
        """Of the model called so, oldest first; none when there is no such model.

        Raises:
            RegistryUnavailable: the registry cannot be read now.
        """
        ...

    def details(self, ref: ModelRef) -> Details:
        """What is known of `ref` besides its files.

        Raises:
            ModelNotFound, RegistryUnavailable: as `resolve`.
        """
        ...

    def fetch(self, ref: ModelRef, target: Path, told: Progress = nobody) -> Path:
        """The folder with the files of `ref`: `target`, filled, or one already on this disk.

        Raises:
            ModelNotFound, RegistryUnavailable: as `resolve`.
            ModelInvalid: there are no files, or none that a folder may hold.
        """
        ...


class Registrar(Protocol):
    """Registers models; the commands have one, the server has none. Its method blocks."""

    def register(self, name: str, source: Path, version: str | None, details: Details) -> str:
        """The version that `source`, a file or a folder, has now; the older ones stay.

        Args:
            version: None is the next number.
            details: its description, tags and properties, as far as there is room for them.

        Raises:
            Refused: there is such a version already, or there cannot be one.
            RegistryUnavailable: the registry cannot be written now.
        """
        ...


def is_name(text: str) -> bool:
    """`text` may be a model's name or version: one path segment that leads nowhere else."""
    return bool(_NAME.fullmatch(text)) and text not in (".", "..")


def version_age(version: str) -> tuple[bool, list[tuple[bool, int, str]]]:
    """Sort key, oldest first: numbers (2 before 10), after them the others in natural order."""
    parts = [p for p in re.split(r"(\d+)", version) if p]
    natural = [(p.isdigit(), int(p) if p.isdigit() else 0, p) for p in parts]
    return not version.isdigit(), natural


def open_registry(name: str, url: str, access: Access, identity: str = "auto") -> Registry:
    """The registry at `url`; a plain path, also a relative one, is a folder. Asks nobody yet.

    Args:
        identity: who asks, by one of the choices of SERVE_IDENTITY.

    Raises:
        ValueError: no registry has such a URL; the text says which there are, or what is amiss.
        NotInstalled: what it needs is not here.
    """
    target = REGISTRIES.get(_scheme(url))
    if target is None:
        known = ", ".join(f"{known}://" for known in REGISTRIES)
        raise ValueError(f"no registry speaks {_scheme(url)}://; known: {known}")
    registry = imported(target, f"a registry at {_scheme(url)}://")
    return cast(Registry, registry(name, url, access, identity))


def open_registrar(url: str, access: Access, identity: str = "auto") -> Registrar:
    """Who registers models in the registry at `url`. Asks nobody yet.

    Raises:
        ValueError: nobody does, or what is amiss with the URL.
        NotInstalled: what it needs is not here.
    """
    target = REGISTRARS.get(_scheme(url))
    if target is None:
        raise ValueError(
            "models are not registered in Blob storage by this command; copy the model's folder "
            "to NAME/VERSION/ there, e.g. with azcopy, its manifest.yaml or MLmodel last"
        )
    registrar = imported(target, f"registering models in {_scheme(url)}://")
    return cast(Registrar, registrar("default", url, access, identity))


def _scheme(url: str) -> str:
    return urlsplit(url).scheme if "://" in url else "file"
