"""The virtual environment of each peer, made once from its pinned requirements.

`python -m bench.environments` resolves the pins anew, from each `requirements.in` and the versions
of the libraries that run the models in the project's own environment: those are the same for all.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ENVIRONMENTS: Final = HERE / ".venvs"
PLOTS: Final = HERE / "plots"
UV: Final = Path(sys.executable).with_name("uv")
MODEL_LIBRARIES: Final = ("joblib", "numpy", "onnxruntime", "scikit-learn")

_PINNED: Final = re.compile(r"^([\w.-]+)==(\S+)$", re.MULTILINE)


class NotInstalled(Exception):
    """An environment could not be made; the text says why."""


def python(folder: Path) -> Path:
    """The interpreter of the environment for `folder/requirements.txt`. Blocking.

    Raises:
        NotInstalled: with what the installer said.
    """
    pins = folder / "requirements.txt"
    if not pins.is_file():
        return Path(sys.executable)
    digest = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()[:12]
    place = ENVIRONMENTS / f"{folder.name}-{digest}"
    found = place / "bin" / "python"
    ready = place / ".ready"
    if not ready.exists():
        for old in ENVIRONMENTS.glob(f"{folder.name}-*"):
            shutil.rmtree(old)
        ENVIRONMENTS.mkdir(exist_ok=True)
        (ENVIRONMENTS / ".gitignore").write_text("*\n")
        _uv("venv", "--python", sys.executable, str(place))
        _uv("pip", "install", "--compile-bytecode", "--python", str(found), "-r", str(pins))
        ready.touch()
    return found


def pins(folder: Path) -> dict[str, str]:
    """Package -> version in `folder/requirements.txt`; of this environment where there is none."""
    stated = folder / "requirements.txt"
    if stated.is_file():
        return dict(_PINNED.findall(stated.read_text()))
    return {d.name.lower(): d.version for d in importlib.metadata.distributions()}


def lock(folders: Iterable[Path]) -> None:
    """Write `requirements.txt` beside each `requirements.in`. Blocking."""
    for folder in folders:
        asked = (folder / "requirements.in").read_text().split()
        own = {re.split(r"\W*[<=>\[]", line)[0] for line in asked}
        if folder != PLOTS:
            shared = [n for n in MODEL_LIBRARIES if n not in own]
            asked += [f"{name}=={importlib.metadata.version(name)}" for name in shared]
            asked.append("pandas")  # some peers bound it
        _uv(
            *("pip", "compile", "--python-version", "3.11", "--no-annotate", "--no-header"),
            *("--no-emit-index-url", "--no-emit-find-links"),
            *("-", "-o", str(folder / "requirements.txt")),
            given="\n".join(asked),
        )


def _uv(*words: str, given: str = "") -> None:
    done = subprocess.run([UV, "--quiet", *words], input=given, text=True, capture_output=True)
    if done.returncode:
        raise NotInstalled(f"not installed: {' '.join(done.stderr.split())[:300]}")


if __name__ == "__main__":
    lock(path.parent for path in sorted(HERE.rglob("requirements.in")))
