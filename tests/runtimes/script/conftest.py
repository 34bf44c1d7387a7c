"""Scripts in memory, with processes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import manifest
from app.runtimes.script import model as scripts
from app.runtimes.script.model import ScriptModel
from tests.runtimes.script.asking import Load
from tests.scripts import write_script


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(code: str, **files: str) -> ScriptModel:
        folder = write_script(tmp_path, "name", code, **files)
        return scripts.load(manifest.read(folder), 1)

    return load
