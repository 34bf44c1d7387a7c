"""Blob storage by Azurite, over TLS, with one account."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import (
    BlobServiceClient,
    ContainerClient,
    ContainerSasPermissions,
    generate_container_sas,
)

from tests.azure.certificates import Certificates

ACCOUNT = "mlstore"
KEY = base64.b64encode(b"the key of the account, 32 bytes or so").decode()
COMMAND = Path(__file__).parents[2] / ".venv/azurite/node_modules/.bin/azurite-blob"
_LISTENING = re.compile(rb"successfully listen\w* (?:at|on) \S*?:(\d+)")


@dataclass(frozen=True, slots=True)
class Storage:
    """One running Azurite."""

    port: int

    @property
    def suffix(self) -> str:
        """What follows `ACCOUNT.blob.` in the host of a URL."""
        return f"core.azlocal.test:{self.port}"

    @property
    def url(self) -> str:
        """Of the account."""
        return f"https://{ACCOUNT}.blob.{self.suffix}"

    def container(self, name: str) -> ContainerClient:
        """By the key of the account; made if need be."""
        service = BlobServiceClient(self.url, credential=AzureNamedKeyCredential(ACCOUNT, KEY))
        container = service.get_container_client(name)
        if not container.exists():
            container.create_container()
        return container

    def put(self, container: str, files: Mapping[str, bytes], **more: Any) -> None:
        """Write blobs, by name."""
        client = self.container(container)
        for name, content in files.items():
            client.upload_blob(name, content, overwrite=True, **more)

    def put_folder(self, container: str, prefix: str, folder: Path) -> None:
        """Write the files of a folder below `prefix`."""
        files = [path for path in folder.rglob("*") if path.is_file()]
        blobs = {f"{prefix}/{p.relative_to(folder).as_posix()}": p.read_bytes() for p in files}
        self.put(container, blobs)

    def sas(self, container: str, *, lasts_s: float = 3600) -> str:
        """A signature that lets read and list."""
        return generate_container_sas(
            ACCOUNT,
            container,
            KEY,
            permission=ContainerSasPermissions(read=True, list=True, write=True, create=True),
            expiry=datetime.now(UTC) + timedelta(seconds=lasts_s),
            start=datetime.now(UTC) - timedelta(hours=1),
        )


@contextmanager
def storage(folder: Path, certificates: Certificates) -> Iterator[Storage]:
    """Azurite, ended with the context."""
    log = folder / "azurite.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [
                COMMAND, "--blobHost", "127.0.0.1", "--blobPort", "0",
                "--disableTelemetry", "--skipApiVersionCheck", "--inMemoryPersistence",
                "--cert", str(certificates.cert), "--key", str(certificates.key),
                "--oauth", "basic",
            ],
            env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield Storage(_port(process, log))
    finally:
        process.terminate()
        process.wait(10)


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if found := _LISTENING.search(log.read_bytes()):
            return int(found[1])
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())
