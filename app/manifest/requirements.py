"""The training environment: packages and versions of `requirements.txt` and conda's files."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import yaml

from app.errors import ModelInvalid

FILE: Final = "requirements.txt"
CONDA_FILES: Final = ("conda.yaml", "conda.yml")
"""Looked at also when the manifest does not name them."""

_PINNED: Final = re.compile(
    r"^\s*([\w.-]+)\s*(?:\[.*?\])?\s*===?\s*([^\s;#,*]+)\s*(?:[;#].*)?$", re.MULTILINE
)
"""A line of requirements.txt (PEP 440, PEP 508) that allows one version only."""
_CONDA: Final = re.compile(
    r"^\s*(?:[\w./-]+::)?([\w.-]+)(?:\s*(==?)\s*|\s+)(\d[^\s=,|<>!*]*)(\.\*|\*)?(?:[=\s][^,|]*)?$"
)
"""A package of conda's (its "match specification") that allows one version, or those that begin
so: `name=1.2`, `name==1.2.3`, `channel::name=1.2.3=build`, `name 1.2.3 build`."""
_OTHER_NAMES: Final = {"py-xgboost": "xgboost", "pytorch": "torch", "matplotlib-base": "matplotlib"}
"""conda's name of a package -> its name here."""


def read(folder: Path, conda: Path | None = None) -> Mapping[str, str]:
    """Package (lower case, dashes) -> its version at training; `1.2.*` where the rest is open.

    Args:
        conda: the file that the manifest names; else one that is called as usual.

    Raises:
        ModelInvalid: `conda` cannot be read.
    """
    found: dict[str, str] = {}
    if conda is not None:
        found |= _of_conda(conda)
    else:
        for name in CONDA_FILES:
            if (folder / name).is_file():
                found |= _unless_odd(folder / name)
    path = folder / FILE
    if path.is_file():
        found |= _pinned(path.read_text("utf-8", errors="replace"))
    return found


def installed(package: str) -> str | None:
    """The version that is here; None: it is not."""
    if package == "python":
        return platform.python_version()
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def agree(trained: str, here: str) -> bool:
    """`here` is the version `trained`, or one of those that `1.2.*` stands for."""
    if trained.endswith(".*"):
        return here == trained[:-2] or here.startswith(trained[:-1])
    return here == trained


def differences(requirements: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Package, version at training, version here: of those that are here in another one."""
    for package, trained in sorted(requirements.items()):
        here = installed(package)
        if here is not None and not agree(trained, here):
            yield package, trained, here


def _pinned(text: str) -> dict[str, str]:
    return {_folded(name): version for name, version in _PINNED.findall(text)}


def _folded(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _unless_odd(path: Path) -> Mapping[str, str]:
    """Of a file that nobody has named: what is no conda file is something else."""
    try:
        return _of_conda(path)
    except ModelInvalid:
        return {}


def _of_conda(path: Path) -> Mapping[str, str]:
    try:
        stated = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ModelInvalid(f"{path.name} is not YAML") from error
    wanted = stated.get("dependencies") if isinstance(stated, dict) else None
    if not isinstance(wanted, list):
        raise ModelInvalid(f"{path.name} is no conda file: it has no list of dependencies")
    return dict(_pins(wanted))


def _pins(dependencies: list[Any]) -> Iterator[tuple[str, str]]:
    for entry in dependencies:
        if isinstance(entry, dict) and isinstance(entry.get("pip"), list):
            yield from _pinned("\n".join(map(str, entry["pip"]))).items()
        found = _CONDA.match(entry) if isinstance(entry, str) else None
        if found is not None:
            name, sign, told, star = found.groups()
            is_whole = (sign == "==" and not star) or _has_build(entry)
            folded = _OTHER_NAMES.get(name.lower(), _folded(name))
            yield folded, told if is_whole else f"{told.rstrip('.')}.*"


def _has_build(entry: str) -> bool:
    """`name=1.2.3=build` and `name 1.2.3 build` are of one version."""
    return entry.replace("==", "=").count("=") > 1 or len(entry.split()) == 3
