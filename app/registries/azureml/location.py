"""Where Azure ML says that files are: addresses of models, datastores and their secrets. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.azure.addresses import BlobPath, container_of
from app.errors import ModelInvalid

_IN_DATASTORE: Final = re.compile(
    r"azureml://subscriptions/([^/]+)/resource[gG]roups/([^/]+)/workspaces/([^/]+)"
    r"/datastores/([^/]+)/paths/(.*)",
    re.DOTALL,
)
_SHORT: Final = re.compile(r"azureml://datastores/([^/]+)/paths/(.*)", re.DOTALL)
_BLOB_TYPES: Final = ("AzureBlob", "AzureDataLakeGen2")


@dataclass(frozen=True, slots=True)
class DatastorePath:
    """A path in a datastore of a workspace; None: of the workspace that was asked."""

    datastore: str
    path: str
    workspace: tuple[str, str, str] | None = None
    """Subscription, resource group, name."""


def in_datastore(uri: str) -> DatastorePath:
    """The `modelUri` of a workspace's model; read from the left, for `paths` may be a name too.

    Raises:
        ModelInvalid: it is of another form, or names no path.
    """
    long = _IN_DATASTORE.fullmatch(uri)
    short = _SHORT.fullmatch(uri)
    if long is not None:
        subscription, group, workspace, datastore, path = long.groups()
        where = (subscription, group, workspace)
        return DatastorePath(datastore, _path(path), where)
    if short is not None:
        return DatastorePath(short[1], _path(short[2]))
    raise ModelInvalid("the model was registered at an address that is not in a datastore")


def in_container(uri: str) -> BlobPath:
    """`https://ACCOUNT.blob.SUFFIX/CONTAINER/PATH`, whatever follows after `?`.

    Raises:
        ModelInvalid: it is of another form, or names no path.
    """
    found = container_of(uri)
    if found is None:
        raise ModelInvalid("the model was registered at an address that is not in Blob storage")
    return BlobPath(found.account_url, found.container, _path(found.path))


def datastore_container(properties: Mapping[str, Any], path: str) -> BlobPath:
    """Where a datastore keeps `path`.

    Raises:
        ModelInvalid: the datastore is not in Blob storage.
    """
    kind = properties.get("datastoreType")
    container = properties.get("containerName") or properties.get("filesystem")
    account = properties.get("accountName")
    if kind not in _BLOB_TYPES or not container or not account:
        raise ModelInvalid(f"the datastore is of the kind {kind}; known: {', '.join(_BLOB_TYPES)}")
    suffix = properties.get("endpoint") or "core.windows.net"
    protocol = properties.get("protocol") or "https"
    return BlobPath(f"{protocol}://{account}.blob.{suffix}", str(container), path)


def _path(path: str) -> str:
    cleaned = path.strip("/")
    if not cleaned:
        raise ModelInvalid("the model was registered at the root of a datastore, not in a folder")
    return cleaned
