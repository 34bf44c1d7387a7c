"""Files in Blob storage: listed, and fetched by several requests at once, each byte accounted for.

A fetch holds little in memory, whatever the size of a file. Nothing here knows of models.
"""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, wait
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

import requests
from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobProperties, ContainerClient, LinearRetry
from requests.adapters import HTTPAdapter

from app.azure.faults import BLOB_READER, Place, unavailable
from app.azure.patience import CONNECT_S, READ_S
from app.errors import ModelInvalid, RegistryUnavailable

CHUNK_BYTES: Final = 2 * 1024**2
"""One answer; each transfer holds one, twice for a moment."""
PART_BYTES: Final = 8 * 1024**2
"""One transfer; a larger file is several."""
_RETRIES: Final = 2
_MOST_FILES: Final = 100_000

Credential = AzureSasCredential | AzureNamedKeyCredential | Any | None
"""Any: a token credential. None: nobody is asked who asks."""
Progress = Callable[[int, int], None]
"""Told bytes that are here, and bytes in all; by any thread."""


@dataclass(frozen=True, slots=True)
class BlobFile:
    """One listed blob, as it was when it was listed."""

    name: str
    path: PurePosixPath
    """Below the folder."""
    size_bytes: int
    etag: str
    md5: bytes | None


@dataclass(slots=True)
class BlobFolder:
    """A prefix in a container. The methods block, and raise RegistryUnavailable."""

    account_url: str
    container: str
    prefix: str
    """Without a slash at either end; empty is the whole container."""
    credential: Credential
    forbidden: str = f"give this identity the role {BLOB_READER} on the storage account"
    """What a 403 asks for."""
    renewed: Callable[[], str] | None = None
    """Gives a new shared access signature when the one at hand is not taken any more."""
    _client: ContainerClient | None = field(default=None, repr=False)
    _renewals: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def place(self) -> Place:
        """For messages."""
        host = self.account_url.partition("://")[2]
        name = f"container {self.container} of storage account {host.partition('.')[0]}"
        return Place(name, "the storage account and container", self.forbidden, host)

    def files(self) -> list[BlobFile]:
        """All below the prefix, in any depth; or the one blob that the prefix itself names.

        Raises:
            ModelInvalid: a name that would lead out of a folder, or no files.
        """
        start = f"{self.prefix}/" if self.prefix else ""
        try:
            listed = self._listed(start)
            if not listed and self.prefix:
                listed = self._single()
        except AzureError as error:
            raise unavailable(error, self.place) from None
        if not listed:
            raise ModelInvalid(f'there are no files below "{start}" in {self.place.name}')
        return listed

    def folders(self, below: str = "") -> tuple[list[str], list[str]]:
        """Names of folders, and of files, directly below the prefix and `below`."""
        start = "".join(f"{part}/" for part in (self.prefix, below) if part)
        folders, files = [], []
        try:
            for item in self.client().walk_blobs(name_starts_with=start, delimiter="/"):
                name = item.name[len(start) :]
                if name.endswith("/"):
                    folders.append(name[:-1])
                elif name:
                    files.append(name)
        except AzureError as error:
            raise unavailable(error, self.place) from None
        return folders, files

    def client(self) -> ContainerClient:
        """The one client of this folder, with a connection for each transfer."""
        with self._lock:
            if self._client is None:
                self._client = ContainerClient(
                    self.account_url,
                    self.container,
                    credential=self.credential,
                    transport=_transport(),
                    retry_policy=LinearRetry(
                        backoff=1, retry_total=_RETRIES, random_jitter_range=1
                    ),
                    max_single_get_size=CHUNK_BYTES,
                    max_chunk_get_size=CHUNK_BYTES,
                )
            return self._client

    def renew(self, renewals: int) -> bool:
        """Take a new signature unless another transfer has done so since; False: there is none."""
        if self.renewed is None or not isinstance(self.credential, AzureSasCredential):
            return False
        with self._lock:
            if self._renewals == renewals:
                self.credential.update(self.renewed())
                self._renewals += 1
        return True

    @property
    def renewals(self) -> int:
        """Signatures taken so far."""
        return self._renewals

    def _listed(self, start: str) -> list[BlobFile]:
        found = []
        for blob in self.client().list_blobs(name_starts_with=start, include=["metadata"]):
            is_folder = (blob.metadata or {}).get("hdi_isfolder") == "true"
            if not is_folder and not blob.name.endswith("/"):
                found.append(_file(blob, blob.name[len(start) :]))
            if len(found) > _MOST_FILES:
                raise ModelInvalid(f'there are over {_MOST_FILES} files below "{start}"')
        return found

    def _single(self) -> list[BlobFile]:
        try:
            blob = self.client().get_blob_client(self.prefix).get_blob_properties()
        except ResourceNotFoundError:
            return []
        return [_file(blob, PurePosixPath(self.prefix).name)]


def fetch(
    folder: BlobFolder, files: Sequence[BlobFile], target: Path, transfers: Executor, told: Progress
) -> None:
    """Write `files` below `target`, each checked for its size, and its MD5 where it has one.

    Raises:
        RegistryUnavailable: a blob cannot be read, or was changed meanwhile.
        OSError: the disk is full or broken.
    """
    for file in files:
        path = target / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as stream:
            stream.truncate(file.size_bytes)
    fetching = _Fetching(folder, target, sum(file.size_bytes for file in files), told)
    pending = [transfers.submit(fetching.part, *part) for part in _parts(files)]
    done, waiting = wait(pending, return_when=FIRST_EXCEPTION)
    fetching.is_over = True
    for transfer in waiting:
        transfer.cancel()
    wait(waiting)
    for transfer in done:
        transfer.result()
    for file in files:
        _check_md5(file, target / file.path)


class _Fetching:
    """One fetch, seen by its transfers."""

    def __init__(self, folder: BlobFolder, target: Path, size_bytes: int, told: Progress) -> None:
        self.is_over = False
        self._folder = folder
        self._target = target
        self._size_bytes = size_bytes
        self._told = told
        self._done_bytes = 0
        self._lock = threading.Lock()

    def part(self, file: BlobFile, offset: int, length: int) -> None:
        """Bring bytes `offset` to `offset + length` of a file."""
        while not self.is_over:
            renewals = self._folder.renewals
            try:
                self._bring(file, offset, length)
            except HttpResponseError as error:
                is_refused = error.status_code in (401, 403)
                if is_refused and not renewals and self._folder.renew(renewals):
                    continue
                if error.status_code in (404, 412):
                    text = f'"{file.path}" was changed or deleted while it was fetched'
                    raise RegistryUnavailable(f"{text}; it is tried again") from None
                raise unavailable(error, self._folder.place) from None
            except AzureError as error:
                raise unavailable(error, self._folder.place) from None
            return

    def _bring(self, file: BlobFile, offset: int, length: int) -> None:
        client = self._folder.client().get_blob_client(file.name)
        stream = client.download_blob(
            offset, length, etag=file.etag, match_condition=MatchConditions.IfNotModified
        )
        written = 0
        with (self._target / file.path).open("r+b") as target:
            for chunk in stream.chunks():
                written += os.pwrite(target.fileno(), chunk, offset + written)
        if written != length:
            text = f'"{file.path}" came with {written} bytes of {length}'
            raise RegistryUnavailable(f"{text} from {self._folder.place.name}; it is tried again")
        with self._lock:
            self._done_bytes += written
            self._told(self._done_bytes, self._size_bytes)


def _file(blob: BlobProperties, path: str) -> BlobFile:
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise ModelInvalid(f"a blob is named {path[:200]!r}, which is no path inside of a folder")
    md5 = blob.content_settings.content_md5
    size_bytes, etag = blob.size, blob.etag
    return BlobFile(blob.name, PurePosixPath(path), size_bytes, etag, bytes(md5) if md5 else None)


def _parts(files: Sequence[BlobFile]) -> Iterator[tuple[BlobFile, int, int]]:
    for file in files:
        for offset in range(0, file.size_bytes, PART_BYTES):
            yield file, offset, min(PART_BYTES, file.size_bytes - offset)


def _check_md5(file: BlobFile, path: Path) -> None:
    if file.md5 is None:
        return
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).digest()
    if found != file.md5:
        told = base64.b64encode(file.md5).decode()
        text = f'"{file.path}" is not what was stored: its MD5 should be {told}'
        raise RegistryUnavailable(f"{text}; it is tried again")


def _transport() -> RequestsTransport:
    session = requests.Session()
    session.mount("https://", HTTPAdapter(pool_maxsize=16))
    return RequestsTransport(session=session, connection_timeout=CONNECT_S, read_timeout=READ_S)
