"""Boosters of LightGBM, XGBoost and CatBoost, from their own files: nothing in these is code."""

from __future__ import annotations

import importlib
import math
import re
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.errors import ModelInvalid
from app.manifest import Manifest
from app.runtimes import signed
from app.runtimes.boosters import LIBRARIES, Booster
from app.tensors import Array, Batch, Prediction, Signature, TensorSpec

_LIBRARY_OF: Final = {
    ".cbm": "catboost",
    ".json": "xgboost",
    ".txt": "lightgbm",
    ".ubj": "xgboost",
}

_SOURCE: Final = re.compile(r"(\[[\d:]+\] )?[^\s:]*\.(cc?|cpp|cu|h|hpp):\d+: ?")
"""Where in a library's source an error was raised."""


class BoosterModel:
    """One booster; its library's predictions only read it, so threads may share it."""

    is_steady = True

    def __init__(self, booster: Booster, manifest: Manifest) -> None:
        self._booster = booster
        self._names = [spec.name for spec in booster.features]
        self._is_plain = all(spec.dtype == "float64" for spec in booster.features)
        first = booster.outputs[0].name
        derived = Signature(
            inputs=self._inputs(),
            outputs=booster.outputs,
            result=manifest.result or first,
            aliases=booster.aliases,
            classes=manifest.classes or booster.classes,
        )
        self.signature = signed(derived, manifest)

    def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        """Blocking; the libraries let go of the interpreter meanwhile."""
        return self._booster.predict(self._rows(batch), outputs)

    def _inputs(self) -> tuple[TensorSpec, ...]:
        features = self._booster.features
        if self._booster.is_named or not self._is_plain or self._booster.codes:
            return features
        return (TensorSpec("input", "float64", (None, len(features)), nullable=True),)

    def _rows(self, batch: Batch) -> Array:
        arrays = batch.arrays
        if len(arrays) == 1 and len(self._names) > 1:
            (rows,) = arrays.values()
            return rows.astype(np.float64, copy=False)
        names = self._names if self._names[0] in arrays else list(arrays)
        if self._is_plain and not self._booster.codes:
            return batch.matrix(names, "float64")
        columns = [self._column(name, np.reshape(arrays[name], batch.rows)) for name in names]
        is_plain = all(column.dtype.kind != "O" for column in columns)
        return np.stack(columns, axis=1).astype(np.float64 if is_plain else object, copy=False)

    def _column(self, name: str, values: Array) -> Array:
        codes = self._booster.codes.get(name)
        if codes is None:
            return values
        return np.array([codes.get(value, math.nan) for value in values.tolist()], np.float64)


def load(manifest: Manifest, threads: int, untrusted: str = "") -> BoosterModel:
    """See `runtimes.Load`; the formats of boosters are no code."""
    file = manifest.file
    name = _LIBRARY_OF.get(file.suffix) if manifest.mlmodel is None else manifest.mlmodel.flavour
    if name not in LIBRARIES:
        known = ", ".join(f"*{suffix}" for suffix in _LIBRARY_OF)
        raise ModelInvalid(f"no booster is told by the name {file.name}; known: {known}")
    library = _imported(name, file)
    module, read = LIBRARIES[name].split(":")
    try:
        booster = getattr(importlib.import_module(module), read)(library, file, threads)
    except ModelInvalid:
        raise
    except Exception as error:  # each library has errors of its own
        reason = _reason(error, file)
        raise ModelInvalid(f"{name} cannot load {file.name}: {reason}") from error
    model = BoosterModel(booster, manifest)
    _refuse_unknown_result(model.signature)
    return model


def _imported(name: str, file: Path) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing = "is not installed here" if name not in sys.modules else "cannot be imported here"
        raise ModelInvalid(
            f"{file.name} needs {name}, which {missing}: install aml-serve[boosters]"
        ) from error


def _refuse_unknown_result(signature: Signature) -> None:
    names = [spec.name for spec in signature.outputs]
    if signature.result not in {*names, *signature.aliases}:
        known = ", ".join(names)
        raise ModelInvalid(
            f"manifest.yaml: the model has no output {signature.result!r}; it has {known}"
        )


def _reason(error: Exception, file: Path) -> str:
    """The first line of the library's words, without any path of this machine."""
    text = str(error)
    for place in (file, file.resolve()):
        text = text.replace(str(place), file.name).replace(f"{place.parent}/", "")
    lines = [line for line in _SOURCE.sub("", text).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
