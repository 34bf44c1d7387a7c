"""LightGBM's text files."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any, Final

from app.runtimes.boosters import Booster, category, number
from app.runtimes.boosters.outcomes import Kind, Outcome
from app.tensors import Array, Prediction, TensorSpec

logger = logging.getLogger(__name__)

_NAMELESS: Final = re.compile(r"Column_\d+")
_KINDS: Final[dict[str, Kind]] = {
    "binary": "binary",
    "multiclass": "classes",
    "multiclassova": "classes",
}
"""Objective -> what its scores are; all others are values."""


def read(library: Any, file: Path, threads: int) -> Booster:
    """See `Read`; categories of pandas are in the file, in the order of their columns."""
    library.register_logger(logger)  # else it prints
    booster = library.Booster(model_file=str(file))
    names: list[str] = booster.feature_name()
    outcome = Outcome(
        kind=_KINDS.get(str(booster.params.get("objective", "")), "values"),
        width=booster.num_model_per_iteration(),
        dtype="float64",
    )
    categories = _categories(booster, names)

    def predict(rows: Array, outputs: tuple[str, ...]) -> Prediction:
        return outcome.read(booster.predict(rows, num_threads=threads), outputs)

    return Booster(
        features=tuple(_feature(name, categories.get(name)) for name in names),
        is_named=not all(map(_NAMELESS.fullmatch, names)),
        outputs=outcome.outputs,
        predict=predict,
        aliases=outcome.aliases,
        classes=outcome.classes,
        codes={name: {v: i for i, v in enumerate(values)} for name, values in categories.items()},
    )


def _feature(name: str, values: list[Any] | None) -> TensorSpec:
    return number(name) if values is None else category(name, values)


def _categories(booster: Any, names: list[str]) -> dict[str, list[Any]]:
    """Those of pandas; a categorical feature without is a number already."""
    stated = booster.params.get("categorical_feature") or []
    columns = [names[i] for i in sorted(stated)] if isinstance(stated, list) else []
    known: list[list[Any]] = booster.pandas_categorical or []
    return dict(zip(columns, known, strict=True)) if len(columns) == len(known) else {}
