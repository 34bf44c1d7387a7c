"""The bundled samples: small, reproducible, and as good as their README says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import SAMPLES, serving

SCRIPTS = ("train_churn.py", "train_claim_classifier.py", "train_dog_breeds.py")


def test_all_samples_together_take_less_than_two_megabytes() -> None:
    files = [p for p in SAMPLES.rglob("*") if p.is_file() and "__pycache__" not in p.parts]

    assert sum(path.stat().st_size for path in files) < 2_000_000


def test_every_sample_is_served_by_what_the_service_itself_needs() -> None:
    with serving(SERVE_REGISTRY=str(SAMPLES)) as server:
        told = server.models()

    assert set(told) == {path.parents[1].name for path in SAMPLES.glob("*/1/golden.json")}
    assert {model["state"] for model in told.values()} == {"READY"}
    assert all(model["checked"].startswith("golden: ") for model in told.values())


@pytest.mark.long
@pytest.mark.parametrize("script", SCRIPTS)
def test_training_again_gives_the_figures_of_the_readme(script: str, tmp_path: Path) -> None:
    for name in (*SCRIPTS, "claim_templates.yaml"):
        shutil.copy(SAMPLES / name, tmp_path)

    run = subprocess.run(
        [sys.executable, tmp_path / script], capture_output=True, text=True, check=True
    )

    figures = re.findall(r"accuracy (\d\.\d{3})", run.stdout)
    readme = (SAMPLES / "README.md").read_text()
    assert figures
    assert [figure for figure in figures if figure not in readme] == []
