"""Files of Blob storage, fetched by several requests at once, each byte accounted for.

A fetch holds little in memory, whatever the size of a file. Nothing here knows of models.
"""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, wait
from pathlib import Path
from typing import Final

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError

from app.azure.blobs import PART_BYTES, BlobFile, BlobFolder
from app.azure.faults import unavailable
from app.errors import RegistryUnavailable

_LOOK_S: Final = 1.0
"""A fetch looks so often whether it is to end; a transfer that is left gets so long for it."""

Progress = Callable[[int, int], None]
"""Told bytes that are here, and bytes in all; by any thread."""


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
    pending: list[Future[None]] = []
    try:
        for part in _parts(files):
            pending.append(transfers.submit(fetching.part, *part))
        _wait(pending)
    except RuntimeError:  # from `submit`
        raise _stopping() from None
    finally:
        fetching.is_over = True
        running = [transfer for transfer in pending if not transfer.cancel()]
        wait(running, _LOOK_S)  # one that hangs has its file open, and ends by itself
    for file in files:
        _check_md5(file, target / file.path)


def _wait(pending: Sequence[Future[None]]) -> None:
    """Until all have ended, or one has failed."""
    waiting = set(pending)
    while waiting:
        done, waiting = wait(waiting, _LOOK_S, FIRST_EXCEPTION)
        for transfer in done:
            transfer.result()
        if any(transfer.cancelled() for transfer in waiting):
            raise _stopping()


def _stopping() -> RegistryUnavailable:
    return RegistryUnavailable("the server stops, and its transfers with it")


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
        was_renewed = False
        while not self.is_over:
            renewals = self._folder.renewals
            try:
                self._bring(file, offset, length)
            except HttpResponseError as error:
                if error.status_code in (401, 403) and not was_renewed:
                    was_renewed = self._folder.renew(renewals)
                    if was_renewed:
                        continue
                if error.status_code in (404, 412):
                    text = f'"{file.path}" was changed or deleted while it was fetched'
                    raise RegistryUnavailable(f"{text}; it is tried again") from None
                raise unavailable(error, self._folder.place) from None
            except (AzureError, ValueError) as error:  # ValueError: no range was answered
                raise unavailable(error, self._folder.place) from None
            return

    def _bring(self, file: BlobFile, offset: int, length: int) -> None:
        client = self._folder.client().get_blob_client(file.name)
        written = 0
        with (self._target / file.path).open("r+b") as target:
            stream = client.download_blob(
                offset, length, decompress=False,
                etag=file.etag, match_condition=MatchConditions.IfNotModified,
            )  # fmt: skip
            for chunk in stream.chunks():
                if self.is_over:
                    return
                written += _write(target.fileno(), chunk, offset + written)
        if written != length:
            text = f'"{file.path}" came with {written} bytes of {length}'
            raise RegistryUnavailable(f"{text} from {self._folder.place.name}; it is tried again")
        with self._lock:
            self._done_bytes += written
            self._told(self._done_bytes, self._size_bytes)


def _parts(files: Sequence[BlobFile]) -> Iterator[tuple[BlobFile, int, int]]:
    for file in files:
        for offset in range(0, file.size_bytes, PART_BYTES):
            yield file, offset, min(PART_BYTES, file.size_bytes - offset)


def _write(number: int, chunk: bytes, offset: int) -> int:
    """All of `chunk`: one call may write less, as on a disk that is nearly full."""
    written = 0
    while written < len(chunk):
        written += os.pwrite(number, chunk[written:], offset + written)
    return written


def _check_md5(file: BlobFile, path: Path) -> None:
    if file.md5 is None:
        return
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).digest()
    if found != file.md5:
        told = base64.b64encode(file.md5).decode()
        text = f'"{file.path}" is not what was stored: its MD5 should be {told}'
        raise RegistryUnavailable(f"{text}; it is tried again")
