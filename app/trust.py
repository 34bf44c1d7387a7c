"""What the files of a model may do here: joblib and pickle files, pyfuncs and scripts are code."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Rule = Literal["all", "pinned", "none"]

_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_ENTER: Final = stat.S_IXGRP | stat.S_IXOTH


@dataclass(frozen=True, slots=True)
class Trust:
    """Whether code of a model may run: always, when its digest is listed, or never."""

    rule: Rule = "all"
    digests: frozenset[str] = frozenset()
    """What the configuration lists for the model; none: it says nothing of its files."""

    def excludes(self, digest: str) -> bool:
        """The configuration lists digests of this model, and this is none of them."""
        return bool(self.digests) and digest not in self.digests

    def refusal(self, digest: str) -> str:
        """Why no code of the model of this digest may run, and the mend; empty when it may."""
        if self.rule == "none":
            return (
                "its trust is none, so no code of it may run; serve it as ONNX, as a booster's own "
                "format or as skops, or set its trust to pinned"
            )
        if digest not in self.digests and (self.digests or self.rule == "pinned"):
            return (
                f"its trust is {self.rule} and its digest is not listed; to let it run, add "
                f"sha256: {digest} to the model in the configuration"
            )
        return ""


EVERYTHING: Final = Trust()
"""All code of all models may run."""


def exposed(folder: Path) -> str:
    """What in `folder`, by its path within, others than we and root may change; empty: nothing.

    A digest tells nothing of files that change after it was computed. Blocking.
    """
    if not folder.stat().st_mode & _OTHERS_ENTER and _is_ours(folder):
        return ""  # others do not get in, so what lies there may be as it likes
    for path in _all(folder):
        is_link = path.is_symlink()  # a link itself has no mode, and may not lead out
        if not _is_ours(path) or (not is_link and path.stat().st_mode & _OTHERS_WRITE):
            return path.relative_to(folder).as_posix()
    return ""


def _is_ours(path: Path) -> bool:
    return path.lstat().st_uid in (0, os.geteuid())


def _all(folder: Path) -> Iterable[Path]:
    yield folder
    yield from sorted(folder.rglob("*"))
