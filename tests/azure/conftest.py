"""Fixtures of the tests that fetch from Azure: registries, a store, and a gateway that spoils."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.registries import Registry, open_registry
from app.store import Store
from tests.azure.control_plane import CONTAINER
from tests.azure.fixtures import Azure
from tests.azure.gateway import Gateway

Open = Callable[..., Registry]
"""Opens the registry at a URL, the workspace if there is none; with more of `Given`."""
Bring = Callable[..., dict[str, bytes]]
"""Registers a folder of blobs as the model `m` of the workspace, and fetches it: its files."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", 1 << 40)
    store.open()
    return store


@pytest.fixture
def prefix() -> str:
    """A folder in storage that no other test has."""
    return f"t-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def open_at(azure: Azure) -> Iterator[Open]:
    opened = []

    def open_at(url: str = "azureml://workspace", **given: Any) -> Registry:
        access = azure.access(**given)
        opened.append(access)
        return open_registry("here", url, access)

    yield open_at
    for access in opened:
        access.close()


@pytest.fixture
def gateway(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """The storage of the workspace and of the registry is reached through it."""
    with Gateway(azure.certificates, azure.storage) as gateway:
        monkeypatch.setattr(azure.plane, "_storage", gateway.storage)
        yield gateway


@pytest.fixture
def bring(azure: Azure, store: Store, open_at: Open, prefix: str) -> Bring:
    def bring(
        files: dict[str, bytes], path: str = "", client: str = "rest", **more: Any
    ) -> dict[str, bytes]:
        azure.storage.put(CONTAINER, {f"{prefix}/{n}": b for n, b in files.items()}, **more)
        azure.plane.register("m", "1", f"{prefix}/{path or 'm'}")
        return files_of(store, open_at(client=client))

    return bring


def files_of(store: Store, registry: Registry, name: str = "m") -> dict[str, bytes]:
    """What the store has of the newest version, fetched if need be."""
    folder = store.get(store.resolve(name, None, registry), registry)
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def leftovers(store_folder: Path) -> list[Path]:
    """Files of fetches that did not end, and folders of models."""
    found = [*store_folder.glob("partial/*"), *store_folder.glob("models/*/*/*")]
    return sorted(found)
