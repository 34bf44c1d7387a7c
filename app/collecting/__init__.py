"""What was asked and answered, written as JSON lines where the operator wants it.

`rule` says of which requests and what of them, `record` is one of them as a line, `outlet` the way
to one place: a bounded queue and a thread. Not here: who is told of answers (`observers`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, cast
from urllib.parse import urlsplit

from app.imports import imported

if TYPE_CHECKING:
    from app.azure.access import Access

TARGETS: Final = {
    "file": "app.collecting.folder:Folder",
    "https": "app.azure.appends:AppendedBlobs",
}
"""Scheme of a place's URL -> its class."""


class Target(Protocol):
    """A place for lines. Its methods block; called in one thread."""

    def append(self, path: str, lines: bytes) -> None:
        """Put whole lines at the end of the file at `path`, made if need be.

        Raises:
            OSError, RegistryUnavailable: why it cannot be written; the text names the place.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def open_target(url: str, access: Access, identity: str) -> Target:
    """The place at `url`. Asks nobody yet; blocking, since it may import a client of Azure.

    Raises:
        NotInstalled: what it needs is not here.
    """
    scheme = urlsplit(url).scheme
    kind = imported(TARGETS[scheme], f"collecting to {scheme}://")
    return cast(Target, kind(url, access, identity))
