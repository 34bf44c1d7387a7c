"""Lines in append blobs of a container."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobClient, ContentSettings

from app.azure.addresses import container_of
from app.azure.blobs import BlobFolder, credential_for
from app.azure.faults import BLOB_CONTRIBUTOR, asking

if TYPE_CHECKING:
    from app.azure.access import Access

_MOST_KNOWN: Final = 1000
_FORBIDDEN: Final = (
    f"give this identity the role {BLOB_CONTRIBUTOR} on the container, or a shared access "
    "signature that lets create and add"
)


class AppendedBlobs:
    """`https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX][?SIGNATURE]`.

    A write whose answer is lost is sent again, so a line may be there twice.
    """

    def __init__(self, url: str, access: Access, identity: str) -> None:
        found = container_of(url)
        if found is None:
            raise ValueError("lines go to https://ACCOUNT.blob.../CONTAINER")
        self._folder = BlobFolder(
            found.account_url,
            found.container,
            found.path,
            credential_for(url, found.account_url, access, identity),
        )
        self._place = replace(self._folder.place, forbidden=_FORBIDDEN)
        self._known: set[str] = set()
        """Blobs that are there."""

    def append(self, path: str, lines: bytes) -> None:
        """Put whole lines at the end of the blob at `path`, made if need be.

        Raises:
            RegistryUnavailable: the container cannot be written now.
        """
        prefix = self._folder.prefix
        with asking(self._place):
            blob = self._folder.client().get_blob_client(f"{prefix}/{path}" if prefix else path)
            if path not in self._known:
                self._make(blob, path)
            try:
                blob.append_block(lines)
            except ResourceNotFoundError:  # somebody has deleted it
                self._make(blob, path)
                blob.append_block(lines)

    def close(self) -> None:
        """Let go of connections."""
        self._folder.close()

    def _make(self, blob: BlobClient, path: str) -> None:
        kind = ContentSettings(content_type="application/jsonl")
        with suppress(ResourceExistsError):  # by a first try whose answer was lost
            blob.create_append_blob(
                content_settings=kind, match_condition=MatchConditions.IfMissing
            )
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known.add(path)
