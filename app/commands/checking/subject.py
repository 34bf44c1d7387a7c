"""What is checked: a path, laid out as a registry of its own, or a name in the registry."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from app import manifest
from app.commands.staging import staged
from app.settings import ModelChoice, Settings, SettingsError

_VERSION: Final = "1"


@dataclass(frozen=True, slots=True)
class Subject:
    """A model in some registry."""

    text: str
    """As it was asked for."""
    model: str
    """NAME or NAME:VERSION."""
    changed: Mapping[str, str] = field(default_factory=dict)
    """Variables of the environment in which it is that."""


@contextmanager
def subject(text: str) -> Iterator[Subject]:
    """What `text` means, for as long as it is looked at.

    An existing path, or what looks like one, is a path. It needs no registry, and nothing of the
    store, of the measured sizes or of the crashes that a server noted is read or written.

    Raises:
        ValueError: there is nothing called so.
        SettingsError: the settings are wrong, or a name is asked for and no registry is set.
        Refused: the files cannot be read.
    """
    path = Path(text)
    if not path.exists() and not _looks_like_a_path(text):
        yield _named(text)
        return
    _refuse_missing(path, text)
    name = f"{_name_of(path)}/{_VERSION}"
    with staged(path, name) as folder:
        root = folder.parent.parent
        changed = {
            "SERVE_REGISTRY": str(root),
            "SERVE_CACHE_DIR": str(root / ".cache"),
            **dict.fromkeys(("SERVE_CONFIG", "SERVE_MODELS", "SERVE_DEFAULT_MODEL"), ""),
        }
        Settings.load({**os.environ, **changed})
        yield Subject(text, name.replace("/", ":"), changed)


def near(text: str) -> str:
    """The end of a line: files and folders that are called much like `text`, or empty."""
    path = Path(text)
    try:
        there = os.listdir(path.parent)
    except OSError:
        return ""
    found = difflib.get_close_matches(path.name, there, n=3)
    return f"; did you mean {' or '.join(str(path.parent / name) for name in found)}?" * bool(found)


def _looks_like_a_path(text: str) -> bool:
    return os.sep in text or text.startswith((".", "~"))


def _named(text: str) -> Subject:
    try:
        ModelChoice.parse(text)
    except ValueError as error:
        raise ValueError(
            f"there is no file or folder {text!r}{near(text)}, and a name is {error}"
        ) from error
    try:
        Settings.load(os.environ).require_registry()
    except SettingsError as error:
        raise SettingsError(
            f"there is no file or folder {text!r}{near(text)}, and as the name of a model it "
            f"cannot be looked up: {error}"
        ) from error
    return Subject(text, text)


def _refuse_missing(path: Path, text: str) -> None:
    if not path.exists():
        raise ValueError(f"there is no file or folder {text!r}{near(text)}")
    if not path.is_dir() or manifest.holds_model(path):
        return
    inside = sorted(p.name for p in path.iterdir() if p.is_dir() and p.name.isdigit())
    versions = [name for name in inside if manifest.holds_model(path / name)]
    if versions:
        raise ValueError(
            f"{text} holds versions of a model ({', '.join(versions)}); name one, as in "
            f"{path / versions[-1]}"
        )


def _name_of(path: Path) -> str:
    """What a model at `path` may be called; NAME of NAME/VERSION."""
    whole = path.resolve()
    stem = whole.name if whole.is_dir() else whole.stem
    if stem.isdigit():
        stem = whole.parent.name
    return re.sub(r"[^A-Za-z0-9._-]", "-", stem).strip(".")[:100] or "model"
