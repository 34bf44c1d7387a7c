"""Where models come from. A registry fetches files; it knows nothing of formats."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast
from urllib.parse import urlsplit

from app.tensors import ModelRef

if TYPE_CHECKING:
    from app.azure.access import Access

REGISTRIES: Final = {
    "azureml": "app.registries.azureml.registry:AzureMLRegistry",
    "file": "app.registries.local:LocalRegistry",
    "https": "app.registries.azureblob:BlobRegistry",
}
"""Scheme of a registry's URL -> its class."""

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
    """
    scheme = urlsplit(url).scheme if "://" in url else "file"
    target = REGISTRIES.get(scheme)
    if target is None:
        known = ", ".join(f"{known}://" for known in REGISTRIES)
        raise ValueError(f"no registry speaks {scheme}://; known: {known}")
    module, attribute = target.split(":")
    return cast(Registry, getattr(import_module(module), attribute)(name, url, access, identity))
