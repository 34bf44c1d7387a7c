"""What a table names as "module:Name" and is imported when it is first needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class NotInstalled(ValueError):
    """Its package is not here."""


def imported(target: str, purpose: str) -> Any:
    """What `target` names, for `purpose`, which stands in the error.

    Raises:
        NotInstalled: a package that it needs is not here.
    """
    module, _, name = target.partition(":")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        package = error.name or ""
        if package.partition(".")[0] == __name__.partition(".")[0]:
            raise
        raise NotInstalled(
            f"{purpose} needs {package}, which is not installed here; the full image has it, "
            "the slim one has not"
        ) from error
