"""The bundled samples: small, reproducible, and as good as their README says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parent.parent / "sample_model"
SCRIPTS = ("train_churn.py", "train_claim_classifier.py")


def test_all_samples_together_take_less_than_two_megabytes() -> None:
    files = [p for p in SAMPLES.rglob("*") if p.is_file() and "__pycache__" not in p.parts]

    assert sum(path.stat().st_size for path in files) < 2_000_000


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
