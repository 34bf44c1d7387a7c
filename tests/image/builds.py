"""How an image is built here: upon which base, and how it reaches a package index."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app import __version__
from tests.image.engine import Docker
from tests.server import ROOT

FULL = f"aml-serve:{__version__}"
SLIM = f"{FULL}-slim"
LIMITS_MB = {FULL: 560, SLIM: 230}
"""Upon the base, in 10**6 bytes, with bytecode."""
_OF_THIS_MACHINE = ("cert", "find-links")
"""Options of pip that name files, which a build does not see."""


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds upon `base`."""

    docker: Docker
    base: str

    def build(self, tag: str, *options: str, context: Path = ROOT) -> None:
        """With the Dockerfile in `context`."""
        with self._arguments(tag) as arguments:
            self.docker("build", *arguments, *options, str(context))

    def refuses(self, *options: str, context: Path = ROOT) -> str:
        """What a build that must fail says."""
        with self._arguments("aml-serve:refused") as arguments:
            return self.docker.fails("build", *arguments, *options, str(context))

    def grown_mb(self, image: str) -> float:
        """By how much it is larger than the base."""
        return (self.docker.size_bytes(image) - self.docker.size_bytes(self.base)) / 1e6

    @contextmanager
    def _arguments(self, tag: str) -> Iterator[list[str]]:
        """What is needed to reach an index goes in as secrets, which no layer keeps."""
        authorities = os.environ.get("PIP_CERT") or ssl.get_default_verify_paths().cafile
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as configuration:
            configuration.write(_pip_configuration())
            configuration.flush()
            secrets = {"pip_conf": configuration.name, "ca_bundle": authorities}
            yield [
                f"--tag={tag}",
                "--network=host",
                f"--build-arg=BASE_IMAGE={self.base}",
                f"--build-arg=VERSION={__version__}",
                *(f"--secret=id={name},src={path}" for name, path in secrets.items() if path),
            ]


def _pip_configuration() -> str:
    """The machine's own, as far as it holds elsewhere."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    options = {}
    for line in told.splitlines():
        name, _, value = line.partition("=")
        option = name.rpartition(".")[2]
        if option not in _OF_THIS_MACHINE and "file:" not in value:
            options[option] = value.strip("'")
    return "".join(["[global]\n", *(f"{name} = {value}\n" for name, value in options.items())])
