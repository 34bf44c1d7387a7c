"""A small registry that really writes files, for the tests of the store."""

from __future__ import annotations

import os
import time
from pathlib import Path

from app.errors import RegistryUnavailable
from app.registries import Details, Progress, nobody
from app.tensors import ModelRef


class Writer:
    """A registry that writes `size` bytes into `target`, in two files, slowly."""

    name = key = "writer"

    def __init__(self, size: int = 10, *, pause_s: float = 0, log: Path | None = None) -> None:
        self.size = size
        self.pause_s = pause_s
        self.log = log
        self.fetched: list[ModelRef] = []
        self.error: Exception | None = None
        self.newest = "1"
        self.is_away = False
        self.asked: list[str | None] = []

    def describe(self) -> dict[str, str]:
        return {}

    def resolve(self, name: str, version: str | None) -> ModelRef:
        self.asked.append(version)
        if self.is_away:
            raise RegistryUnavailable("the registry is away")
        return ModelRef(self.name, name, version or self.newest)

    def names(self) -> list[str]:
        return []

    def versions(self, name: str) -> list[str]:
        return [self.newest]

    def details(self, ref: ModelRef) -> Details:
        return Details(f"about {ref}", tags={"stage": "prod"})

    def fetch(self, ref: ModelRef, target: Path, told: Progress = nobody) -> Path:
        self.fetched.append(ref)
        if self.log is not None:
            with self.log.open("a") as log:
                log.write(f"{os.getpid()}\n")
        (target / "model.onnx").write_bytes(b"x" * (self.size - self.size // 2))
        time.sleep(self.pause_s)
        if self.error is not None:
            raise self.error
        (target / "sub").mkdir()
        (target / "sub/weights.bin").write_bytes(b"x" * (self.size // 2))
        return target


class Empty(Writer):
    """A registry that has folders and no files."""

    def fetch(self, ref: ModelRef, target: Path, told: Progress = nobody) -> Path:
        (target / "sub").mkdir()
        return target


def ref(name: str, version: str = "1") -> ModelRef:
    return ModelRef("writer", name, version)


def is_whole(folder: Path, size: int = 10) -> bool:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) == size


def leftovers(folder: Path) -> list[Path]:
    return list((folder / "partial").iterdir())
