"""Lines in the files of a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from app.azure.access import Access


class Folder:
    """See `Target`: `file:///PATH`, made if need be."""

    def __init__(self, url: str, access: Access | None = None, identity: str = "") -> None:
        self._root = Path(urlsplit(url).path)

    def append(self, path: str, lines: bytes) -> None:
        """See `Target`; all of `lines` or, on a disk that is full, none."""
        file = self._root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab", buffering=0) as stream:
            before = os.fstat(stream.fileno()).st_size
            try:
                written = 0
                while written < len(lines):
                    written += stream.write(lines[written:])
            except OSError:
                stream.truncate(before)
                raise

    def close(self) -> None:
        """See `Target`; nothing is held."""
