"""Images that users make of ours, as docs/operations.md tells them to."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

import pytest

from tests.image.builds import Builder
from tests.image.pods import POD, told
from tests.server import CLAIM, ROOT, SAMPLES

pytestmark = pytest.mark.image
OWN = "aml-serve-own:1"
WITH_MODELS, WITH_LIBRARIES = re.findall(
    r"```dockerfile\n(.*?)```", (ROOT / "docs/operations.md").read_text(), re.DOTALL
)
ALONE = ("--network=none", "--entrypoint=sh")
SCORED = f"""
aml-serve serve & server=$!; until python -m app.web.alive; do sleep 0.1; done
aml-serve score {CLAIM} 2>/dev/null; kill $server; wait"""


def written(folder: Path, text: str, image: str) -> Path:
    folder.mkdir(exist_ok=True)
    folder.joinpath("Dockerfile").write_text(text.replace("aml-serve:0.1.0", image))
    return folder


def test_with_models_inside_a_pod_needs_neither_registry_nor_network(
    builder: Builder, slim: str, tmp_path: Path
) -> None:
    context = written(tmp_path / "own", WITH_MODELS, slim)
    shutil.copytree(SAMPLES / CLAIM, context / "models" / CLAIM)
    builder.build(OWN, context=context)
    answer = builder.docker("run", "--rm", *POD, *ALONE, OWN, "-c", SCORED)
    assert '{"results":0}' in answer


def wheel(folder: Path) -> None:
    """A package `ours` in one module."""
    about = "Metadata-Version: 2.1\nName: ours\nVersion: 1\n"
    form = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(folder / "ours-1-py3-none-any.whl", "w") as archive:
        archive.writestr("ours.py", "ANSWER = 42\n")
        archive.writestr("ours-1.dist-info/METADATA", about)
        archive.writestr("ours-1.dist-info/WHEEL", form)
        archive.writestr("ours-1.dist-info/RECORD", "ours.py,,\n")


def test_libraries_of_ones_own_are_added_and_pip_goes_again(
    builder: Builder, slim: str, tmp_path: Path
) -> None:
    text = WITH_LIBRARIES.replace("COPY requirements.txt", "COPY requirements.txt *.whl")
    context = written(tmp_path / "own", text, slim)
    wheel(context)
    context.joinpath("requirements.txt").write_text("--no-index\n/tmp/own/ours-1-py3-none-any.whl")
    builder.build(OWN, context=context)
    script = "import importlib.util, ours; print(ours.ANSWER, importlib.util.find_spec('pip'))"
    printed = told(builder.docker, OWN, "-c", script, options=(*POD, "--entrypoint=python"))
    assert printed == "42 None"
