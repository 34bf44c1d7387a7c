"""How a command begins and ends: its settings, and one line for each thing that went wrong.

Exit codes: 2 for what was asked wrongly (arguments, settings), 1 for what failed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from app.errors import ServingError
from app.settings import Settings, SettingsError


def settings(**changed: str) -> Settings:
    """Of the environment, with variables `changed`; ends the process when they cannot be used."""
    try:
        found = Settings.load({**os.environ, **changed})
        found.require_registry()
    except SettingsError as error:
        refuse(str(error))
    return found


def reloading(settings: Settings) -> Settings:
    """The same, and models are loaded again when their files change; ends the process when those
    cannot be watched.
    """
    lines = [f"--reload looks at files; {place} is no folder" for place in _elsewhere(settings)]
    if settings.workers > 1:
        lines.append(f"--reload is for one process; SERVE_WORKERS is {settings.workers}: set 1")
    if lines:
        refuse("\n".join(lines))
    return settings.model_copy(update={"reloads": True})


def _elsewhere(settings: Settings) -> Iterator[str]:
    """The registries whose models are not served from where they lie."""
    places = {"SERVE_REGISTRY": settings.require_registry().url}
    places |= {f"registries.{name}": each.url for name, each in settings.registries.items()}
    for name, url in places.items():
        if "://" in url and not url.startswith(("file:", "script:")):
            yield name


def again(*arguments: str) -> list[str]:
    """The command line that starts this program as it was started, with other arguments."""
    entry = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    return [sys.executable, *entry, *arguments]


def limit_threads() -> None:
    """Linear algebra inside a model call stays in the thread of the call.

    Read by the libraries under numpy when they are imported.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def refuse(message: str, code: int = 2) -> NoReturn:
    """End the process with the reason."""
    typer.echo(message, err=True)
    sys.exit(code)


@contextmanager
def reasons() -> Iterator[None]:
    """What is raised inside ends the process with its reason."""
    from app.registries import Refused

    try:
        yield
    except (ServingError, Refused) as error:
        refuse(str(error), 1)
    except OSError as error:
        refuse(f"{error.filename or 'a file'}: {error.strerror or type(error).__name__}", 1)
    except ValueError as error:
        refuse(str(error))
