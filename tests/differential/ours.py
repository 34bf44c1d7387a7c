"""Our own server as a drop-in: started by the variables that a container of the original has."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.differential import original
from tests.differential.services import SCRIPTS, Service
from tests.server import Server, serving

# SERVE_REGISTRY, which other tests set, names a folder of models; a drop-in has one script.
COMMAND: Final = ("env", "-u", "SERVE_REGISTRY", sys.executable, "-m", "app", "serve")
_WANTED: Final = ("inference_schema", "pytz")


def imports_schema(service: Service) -> bool:
    """Whether its script imports inference-schema, which is no part of ours."""
    script = SCRIPTS / service.root / service.entry
    return script.exists() and "inference_schema" in script.read_text("utf-8")


@contextlib.contextmanager
def running(service: Service, home: Path, wait_for: str = "/readyz") -> Iterator[Server]:
    """Our server with this script, once it is ready; `home` is an empty folder.

    Raises:
        original.NotInstalled: the script's own packages are nowhere.
    """
    variables = dict(service.environment)
    if imports_schema(service):
        found = [os.environ.get("PYTHONPATH", ""), *_packages(home)]
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, found))
    with serving(wait_for, *COMMAND, **variables) as server:
        yield server


def _packages(home: Path) -> list[str]:
    """A folder with what scripts import and this environment lacks; nothing else of the other's."""
    missing = [name for name in _WANTED if importlib.util.find_spec(name) is None]
    if not missing:
        return []
    there = next(original.python().parents[1].glob("lib/python*/site-packages"))
    for name in missing:
        (home / name).symlink_to(there / name)
    return [str(home)]
