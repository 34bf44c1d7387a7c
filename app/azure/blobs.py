"""Folders in Blob storage, and the files that are listed there; `transfers` fetches them."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import requests
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import ResourceNotFoundError
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobProperties, ContainerClient, LinearRetry
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies

from app.azure.faults import BLOB_READER, Place, asking
from app.azure.patience import CONNECT_S, READ_S
from app.errors import ModelInvalid

if TYPE_CHECKING:
    from app.azure.access import Access

PART_BYTES: Final = 2 * 1024**2
"""One answer, which a transfer holds twice for a moment; a larger file is several."""
_BLOCK_BYTES: Final = 256 * 1024
"""What is taken from a connection at once."""
_MOST_FILES: Final = 100_000

Credential = AzureSasCredential | AzureNamedKeyCredential | Any | None
"""Any: a token credential. None: nobody is asked who asks."""


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
        settings, refused = "the storage account and container", _refusal(self.credential)
        if refused is None:
            role = f"give this identity the role {BLOB_READER} on the storage account"
            return Place(name, settings, role, host)
        return Place(name, settings, refused, host, refused)

    def files(self) -> list[BlobFile]:
        """All below the prefix, in any depth; or the one blob that the prefix itself names.

        Raises:
            ModelInvalid: a name that would lead out of a folder, or no files.
        """
        start = f"{self.prefix}/" if self.prefix else ""
        with asking(self.place):
            listed = self._listed(start)
            if not listed and self.prefix:
                listed = self._single()
        if not listed:
            raise ModelInvalid(f'there are no files below "{start}" in {self.place.name}')
        _check_folders(listed)
        return listed

    def folders(self, below: str = "") -> tuple[list[str], list[str]]:
        """Names of folders, and of files, directly below the prefix and `below`."""
        start = "".join(f"{part}/" for part in (self.prefix, below) if part)
        folders, files = [], []
        with asking(self.place):
            for item in self.client().walk_blobs(name_starts_with=start, delimiter="/"):
                name = item.name[len(start) :]
                if name.endswith("/"):
                    folders.append(name[:-1])
                elif name:
                    files.append(name)
        return folders, files

    def client(self) -> ContainerClient:
        """The one client of this folder, with a connection for each transfer."""
        with self._lock:
            if self._client is None:
                self._client = ContainerClient(
                    self.account_url,
                    self.container,
                    credential=self.credential,
                    transport=_transport(self.account_url),
                    retry_policy=LinearRetry(
                        backoff=1, retry_total=2, retry_read=1, random_jitter_range=1
                    ),
                    max_single_get_size=PART_BYTES,
                    max_chunk_get_size=PART_BYTES,
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

    def close(self) -> None:
        """Let go of the connections; the next use opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _listed(self, start: str) -> list[BlobFile]:
        found: list[BlobFile] = []
        for blob in self.client().list_blobs(name_starts_with=start, include=["metadata"]):
            if not _is_folder(blob) and not blob.name.endswith("/"):
                found.append(_file(blob, blob.name[len(start) :]))
            if len(found) > _MOST_FILES:
                raise ModelInvalid(f'there are over {_MOST_FILES} files below "{start}"')
        return found

    def _single(self) -> list[BlobFile]:
        try:
            blob = self.client().get_blob_client(self.prefix).get_blob_properties()
        except ResourceNotFoundError:
            return []
        return [] if _is_folder(blob) else [_file(blob, PurePosixPath(self.prefix).name)]


def credential_for(url: str, account_url: str, access: Access, identity: str) -> Credential:
    """The signature in the URL, else what the environment has, else our own identity."""
    query, given = urlsplit(url).query, access.given
    if "sig" in parse_qs(query):
        return AzureSasCredential(query)
    if identity != "auto":
        return access.identity(identity)
    if given.storage_sas:
        return AzureSasCredential(given.storage_sas.lstrip("?"))
    if given.storage_key:
        account = (urlsplit(account_url).hostname or "").partition(".")[0]
        return AzureNamedKeyCredential(account, given.storage_key)
    return access.identity(identity)


def _refusal(credential: Credential) -> str | None:
    """What it means when the credential is not taken; None: of a token."""
    if isinstance(credential, AzureSasCredential):
        return (
            "the shared access signature has expired, was revoked, or does not let read and list; "
            "make a new one"
        )
    if isinstance(credential, AzureNamedKeyCredential):
        return "the account key is not taken; was it changed?"
    return None


def _is_folder(blob: BlobProperties) -> bool:
    """It only marks a folder, as accounts with a hierarchical namespace do."""
    return (blob.metadata or {}).get("hdi_isfolder", "").lower() == "true"


def _file(blob: BlobProperties, path: str) -> BlobFile:
    if not all(map(_is_file_name, path.split("/"))):
        raise ModelInvalid(f"a blob is named {path[:200]!r}, which is no path inside of a folder")
    md5 = blob.content_settings.content_md5
    etag = '"{}"'.format(blob.etag.strip('"'))  # listed without the quotes that If-Match has
    return BlobFile(blob.name, PurePosixPath(path), blob.size, etag, bytes(md5) if md5 else None)


def _is_file_name(part: str) -> bool:
    return (
        part not in ("", ".", "..")
        and "\\" not in part
        and "\0" not in part
        and len(part.encode(errors="replace")) <= 255
    )


def _check_folders(files: Sequence[BlobFile]) -> None:
    """Raises: ModelInvalid when a blob's name is that of a folder too, as no disk could have it."""
    folders = {parent for file in files for parent in file.path.parents}
    for file in files:
        if file.path in folders:
            raise ModelInvalid(f'"{file.path}" is a blob and a folder of blobs; no disk has both')


def _transport(url: str) -> RequestsTransport:
    """What the environment says of proxies and certificates is read here, not for each request."""
    session = requests.Session()
    session.trust_env = False
    session.proxies.update(get_environ_proxies(url))
    session.mount("https://", _Adapter())
    return RequestsTransport(
        session=session,
        connection_timeout=CONNECT_S,
        read_timeout=READ_S,
        connection_data_block_size=_BLOCK_BYTES,
    )


class _Adapter(HTTPAdapter):
    """All its connections share one TLS context: to read the authorities costs 15 ms each time."""

    def __init__(self) -> None:
        trusted = os.environ.get("REQUESTS_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
        file, folder = (None, trusted) if os.path.isdir(trusted) else (trusted, None)
        self._context = ssl.create_default_context(cafile=file, capath=folder)
        super().__init__(pool_maxsize=16)

    def init_poolmanager(self, *given: Any, **named: Any) -> None:
        super().init_poolmanager(*given, ssl_context=self._context, **named)

    def proxy_manager_for(self, proxy: Any, **named: Any) -> Any:
        return super().proxy_manager_for(proxy, ssl_context=self._context, **named)

    def cert_verify(self, *_: Any) -> None:
        """The context does."""

    def send(self, request: requests.PreparedRequest, *_: Any, **named: Any) -> requests.Response:
        """The clients leave what they did not want unread, and its connection with it."""
        answer = super().send(request, **named)
        if not answer.ok:
            answer.content  # noqa: B018  # reads it
        elif "x-ms-range" in request.headers and answer.status_code != 206:
            answer.close()
        return answer
