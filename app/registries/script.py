"""A registry of one script, where it lies: that of a server that stands in for another one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from app.errors import ModelNotFound
from app.registries import Details, Progress, nobody
from app.tensors import ModelRef

if TYPE_CHECKING:
    from app.azure.access import Access

_VERSION: Final = "1"


class OneScript:
    """See `Registry`; of `script:///ROOT#NAME`."""

    def __init__(
        self, name: str, url: str, access: Access | None = None, identity: str = ""
    ) -> None:
        """A folder asks nobody: `access` and `identity` are not looked at."""
        parts = urlsplit(url)
        self.name = name
        self.key = hashlib.sha256(url.encode()).hexdigest()[:16]
        self._folder, self._model = Path(unquote(parts.path)), unquote(parts.fragment)

    def describe(self) -> dict[str, str]:
        """See `Registry`."""
        return {}

    def resolve(self, name: str, version: str | None) -> ModelRef:
        """See `Registry`."""
        if name != self._model or version not in (None, _VERSION):
            raise ModelNotFound(f"the one script that is served is {self._model}")
        return ModelRef(self.name, name, _VERSION)

    def names(self) -> list[str]:
        """See `Registry`."""
        return [self._model]

    def versions(self, name: str) -> list[str]:
        """See `Registry`."""
        return [_VERSION] if name == self._model else []

    def details(self, ref: ModelRef) -> Details:
        """See `Registry`; nothing is told of it."""
        return Details()

    def fetch(self, ref: ModelRef, target: Path, told: Progress = nobody) -> Path:
        """See `Registry`; never `target`."""
        return self._folder
