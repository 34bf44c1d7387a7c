"""The variables of azureml-inference-server-http, of which one names the one script to be served.

Where AZUREML_ENTRY_SCRIPT is set, this process stands in for that server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from app.settings.values import SettingsError

_ROOT: Final = "/var/azureml-app"
_TIMEOUT_MS: Final = 3_600_000
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class DropInSettings:
    """As that server reads them; defaults are its own."""

    entry: Path
    """AZUREML_ENTRY_SCRIPT, below AML_APP_ROOT unless it is absolute."""
    root: Path
    """AML_APP_ROOT."""
    imports: tuple[Path, ...]
    """Folders of modules: AML_APP_ROOT, and AZUREML_SOURCE_DIRECTORY below it."""
    timeout_ms: int
    """SCORING_TIMEOUT_MS."""
    workers: int
    """WORKER_COUNT: processes of the script."""
    service: str
    """SERVICE_NAME, as /swagger.json tells it."""
    version: str
    """SERVICE_VERSION, likewise."""
    prefix: str
    """SERVICE_PATH_PREFIX, likewise; without slashes at its ends."""

    @property
    def model(self) -> str:
        """The name of the one model."""
        return _NOT_IN_NAMES.sub("-", self.entry.stem).strip(".-") or "script"

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self | None:
        """None: this is no such server. Raises: SettingsError: a value that is none."""
        given = {name: value.strip() for name, value in environ.items() if value.strip()}
        if "AZUREML_ENTRY_SCRIPT" not in given:
            return None
        root = Path(given.get("AML_APP_ROOT", _ROOT))
        entry = root / given["AZUREML_ENTRY_SCRIPT"]
        if not entry.is_file():
            raise SettingsError(
                "AZUREML_ENTRY_SCRIPT is a path where no file is; allowed: a script in AML_APP_ROOT"
            )
        source = given.get("AZUREML_SOURCE_DIRECTORY")
        return cls(
            entry=entry.absolute(),
            root=root.absolute(),
            imports=(root.absolute(), *([root.absolute() / source] if source else [])),
            timeout_ms=_number(given, "SCORING_TIMEOUT_MS", _TIMEOUT_MS),
            workers=_number(given, "WORKER_COUNT", 1),
            service=given.get("SERVICE_NAME", "ML service"),
            version=given.get("SERVICE_VERSION", "1.0"),
            prefix=given.get("SERVICE_PATH_PREFIX", "").strip("/"),
        )


def origins(environ: Mapping[str, str]) -> tuple[str, ...]:
    """AML_CORS_ORIGINS: whose pages may read answers. Raises: SettingsError."""
    given = environ.get("AML_CORS_ORIGINS", "").split(",")
    found = tuple(origin.strip() for origin in given if origin.strip())
    for number, origin in enumerate(found, 1):
        try:
            re.compile("" if origin == "*" else origin)
        except re.error as error:
            raise SettingsError(
                f"AML_CORS_ORIGINS: entry {number} is no origin, and no regular expression"
                f" ({error.msg}); allowed: *, origins, and regular expressions of them"
            ) from error
    return found


def _number(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name, str(default))
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise SettingsError(f"{name} is text; allowed: a whole number, from 1")
    return int(text)
