"""The image that the others are built upon: pulled, or made of Debian's packages and kept."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.image.engine import Docker

PULLED = "python:3.12-slim"
"""As the Dockerfile has it."""
MADE = "aml-serve-base:bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"


def base_image(docker: Docker) -> str:
    """Its name; BASE_IMAGE names another one. Skips where none can be had."""
    if chosen := os.environ.get("BASE_IMAGE"):
        return chosen
    if docker.has(PULLED) or docker.pulls(PULLED):
        return PULLED
    if not docker.has(MADE):
        docker("import", str(_tar()), MADE)
    return MADE


def _tar() -> Path:
    """Debian with its own Python; made in half a minute, once for a machine."""
    command = shutil.which("mmdebstrap")
    if command is None:
        pytest.skip(f"{PULLED} cannot be pulled, and mmdebstrap is not installed to make another")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = home / "aml-serve-tests/bookworm.tar"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        aside = kept.with_name(f"{os.getpid()}.tar")  # mmdebstrap tells the format by the name
        subprocess.run(
            [command, "--quiet", "--variant=minbase", "--mode=root", f"--include={PACKAGES}",
             "bookworm", str(aside)],
            check=True,
        )  # fmt: skip
        aside.rename(kept)
    return kept
