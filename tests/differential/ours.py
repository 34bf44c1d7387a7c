"""Our own server as a drop-in: started by the variables that a container of the original has."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Final

from tests.differential.services import Service
from tests.server import Server, serving

# SERVE_REGISTRY, which other tests set, names a folder of models; a drop-in has one script.
COMMAND: Final = ("env", "-u", "SERVE_REGISTRY", sys.executable, "-m", "app", "serve")


@contextlib.contextmanager
def running(service: Service, wait_for: str = "/readyz") -> Iterator[Server]:
    """Our server with this script, once it is ready."""
    with serving(wait_for, *COMMAND, **service.environment) as server:
        yield server
