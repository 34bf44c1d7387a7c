"""Addresses in Blob storage. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class BlobPath:
    """A path in a container."""

    account_url: str
    container: str
    path: str


def container_of(url: str) -> BlobPath | None:
    """`https://ACCOUNT.blob.SUFFIX/CONTAINER[/PATH]`, whatever follows after `?`; None: another."""
    parts = urlsplit(url)
    container, _, path = parts.path.lstrip("/").partition("/")
    if parts.scheme != "https" or not parts.netloc or not container:
        return None
    return BlobPath(f"https://{parts.netloc}", unquote(container), unquote(path).strip("/"))
