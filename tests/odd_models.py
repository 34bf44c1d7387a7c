"""Models that wait, raise or cannot be loaded; a server started by `serving` can import them."""

from __future__ import annotations

import ctypes
import os
import sys
import time
import uuid
from pathlib import Path
from types import ModuleType
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from threadpoolctl import threadpool_info

WAITS = 50.0
"""As the first number of a row: wait for the gate."""
RAISES = 1000.0
WIDTH = 20


class Odd(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Gives back the first column; what a row holds there may make it wait or raise."""

    def __init__(self, n_features_in_: int = 1) -> None:
        self.n_features_in_ = n_features_in_

    def predict(self, rows: Any) -> Any:
        first = np.asarray(rows, dtype=float)[:, 0]
        if first.max() >= RAISES:
            raise RuntimeError(f"a secret at {__file__}")
        if first.max() >= WAITS:
            pass_gate("predict")
        return first


class SlowToLoad(Odd):
    """Waits for the gate when it is read from its file."""

    def __setstate__(self, state: Any) -> None:
        pass_gate("load")
        super().__setstate__(state)


class Deadly(Odd):
    """Ends the process when it is read from its file."""

    def __setstate__(self, state: Any) -> None:
        ctypes.string_at(0)


class Lasting(Odd):
    """Takes the seconds of its first column: sleeps, or computes where the second one is 1."""

    def __init__(self, n_features_in_: int = 2) -> None:
        super().__init__(n_features_in_)

    def predict(self, rows: Any) -> Any:
        seconds, computes = np.asarray(rows, dtype=float)[0]
        until = time.monotonic() + seconds
        square = np.ones((500, 500))
        while computes and time.monotonic() < until:
            square @ square
        time.sleep(max(0.0, until - time.monotonic()))
        return np.asarray(rows, dtype=float)[:, 0]


class DeadlyToAsk(Odd):
    """Ends the process when it is asked."""

    def predict(self, rows: Any) -> Any:
        ctypes.string_at(0)


class DeadlyAt(Odd):
    """Ends the process when it is asked of a thousand or more."""

    def predict(self, rows: Any) -> Any:
        if np.asarray(rows).max() >= RAISES:
            ctypes.string_at(0)
        return super().predict(rows)


class Slow(Odd):
    """Takes its time for each row, and tells people about it."""

    def predict(self, rows: Any) -> Any:
        print("slow")  # noqa: T201
        time.sleep(0.2 * len(rows))
        return super().predict(rows)


class Threads(Odd):
    """How many threads linear algebra uses here at most."""

    def predict(self, rows: Any) -> Any:
        threads = max(pool["num_threads"] for pool in threadpool_info())
        return np.full(len(rows), float(threads))


def pass_gate(what: str) -> None:
    """Tell that it is here, and wait for the file `open` in the folder that GATE names."""
    gate = Path(os.environ["GATE"])
    (gate / f"{what}-{uuid.uuid4()}").touch()
    while not (gate / "open").exists():
        time.sleep(0.01)


class Gate:
    """The test's side of the gate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def wait(self, what: str, count: int) -> None:
        until = time.monotonic() + 30
        while len(list(self.folder.glob(f"{what}-*"))) < count:
            assert time.monotonic() < until, f"{count} of {what} did not come to the gate"
            time.sleep(0.01)

    def open(self) -> None:
        (self.folder / "open").touch()


def save(registry: Path, name: str, model: object) -> Path:
    """Version 1 of `name` in a local registry."""
    folder = registry / name / "1"
    folder.mkdir(parents=True)
    joblib.dump(model, folder / "model.joblib")
    return folder


def save_unknown(registry: Path, name: str) -> None:
    """A pickle of a class that the server does not have."""
    module = ModuleType("gone_module")
    unknown = type("Gone", (), {"__module__": "gone_module", "predict": None})
    module.Gone = unknown  # type: ignore[attr-defined]
    sys.modules["gone_module"] = module
    try:
        save(registry, name, unknown())
    finally:
        del sys.modules["gone_module"]
