"""A model's files as registering takes them: without hidden ones, in a folder of their own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.registries import Refused


@contextmanager
def staged(path: Path, name: str) -> Iterator[Path]:
    """The files at `path` as they will be fetched, in a folder called `name` in one that goes
    afterwards; links are followed.

    Raises:
        Refused: some file cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="aml-serve-") as temporary:
        folder = Path(temporary) / name
        try:
            if path.is_dir():
                shutil.copytree(path, folder, copy_function=_link, ignore=_left_out)
            else:
                folder.mkdir(parents=True)
                _link(str(path), str(folder / path.name))
        except shutil.Error as error:
            place, _, reason = error.args[0][0]
            raise Refused(f"{place} cannot be read: {str(reason).partition(': ')[0]}") from error
        yield folder


def _link(source: str, target: str) -> None:
    """A second name of the file where that can be, else a copy."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)


def _left_out(_: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(".") or name == "__pycache__"]
