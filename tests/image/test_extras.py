"""What build arguments add, and which of them are refused."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.image.builds import Builder
from tests.image.pods import POD, SAMPLE_SETTINGS, mounted, pod, told
from tests.server import ROOT

pytestmark = pytest.mark.image
EXTENDED = "aml-serve:extended"
BUILT_OF = ("Dockerfile", "LICENSE", "README.md", "app", "image", "pyproject.toml")
KINDS = ("catboost", "lightgbm", "pyfunc", "xgboost")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A copy of what the images are built of, where a test may put files."""
    folder = tmp_path / "context"
    folder.mkdir()
    for path in (*(ROOT / name for name in BUILT_OF), *ROOT.glob("requirements*.txt")):
        (shutil.copytree if path.is_dir() else shutil.copy2)(path, folder / path.name)
    return folder


def test_an_extra_and_the_users_own_file_are_installed(
    builder: Builder, slim: str, context: Path
) -> None:
    (context / "models").mkdir()
    own = "dependencies: [python=3.12, pip, {pip: [iniconfig==2.1.0]}]"
    (context / "models/conda.yaml").write_text(own)
    arguments = ("EXTRAS=opencensus,schema", "REQUIREMENTS=models/conda.yaml")
    options = [f"--build-arg={argument}" for argument in arguments]
    builder.build(EXTENDED, "--target=slim", *options, context=context)
    script = "import app.telemetry.insights.census, iniconfig, inference_schema.schema_decorators"
    found = told(
        builder.docker,
        EXTENDED,
        "-c",
        f"{script}; print('here')",
        options=(*POD, "--entrypoint=python"),
    )
    assert found == "here"


@pytest.mark.parametrize("target", ["full", "slim"])
def test_an_extra_that_there_is_not_ends_the_build_with_those_that_there_are(
    builder: Builder, target: str
) -> None:
    complaint = builder.refuses(f"--target={target}", "--build-arg=EXTRAS=boosters,mlflw")
    assert "there is no mlflw; known: accelerate, boosters, mlflow, opencensus, schema" in complaint


def test_a_conda_file_with_packages_of_conda_ends_the_build_with_their_names(
    builder: Builder, slim: str, context: Path
) -> None:
    (context / "conda.yaml").write_text("dependencies: [lightgbm=4]")
    options = ("--target=slim", "--build-arg=REQUIREMENTS=conda.yaml")
    assert "not installed: lightgbm=4;" in builder.refuses(*options, context=context)


@pytest.mark.full
def test_with_extras_boosters_and_pyfuncs_are_served(
    builder: Builder, tmp_path: Path, model_folders: Mapping[str, Path]
) -> None:
    builder.build(EXTENDED, "--build-arg=EXTRAS=accelerate,boosters,mlflow")
    for kind in KINDS:
        shutil.copytree(model_folders[kind], tmp_path / kind / "1")
    more = ("--memory=1g", "--memory-swap=1g", mounted(tmp_path, "/models"))
    with pod(builder.docker, EXTENDED, options=(*POD, *more), **SAMPLE_SETTINGS) as running:
        assert {name: told["state"] for name, told in running.models().items()} == dict.fromkeys(
            KINDS, "READY"
        )
