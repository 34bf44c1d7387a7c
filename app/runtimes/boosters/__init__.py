"""Boosters by the library that made them; each library is imported when the first model needs it.

`model` serves what a library reads, `outcomes` makes classes and probabilities of its scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from app.tensors import Array, Prediction, TensorSpec

LIBRARIES: Final = {
    "catboost": "app.runtimes.boosters.catboost:read",
    "lightgbm": "app.runtimes.boosters.lightgbm:read",
    "xgboost": "app.runtimes.boosters.xgboost:read",
}
"""Name of a library, to be imported -> where its `Read` is."""


@dataclass(frozen=True, slots=True)
class Booster:
    """One model as its library tells of it."""

    features: tuple[TensorSpec, ...]
    """In the order of training; one value each."""
    is_named: bool
    """The names of the features are the user's own."""
    outputs: tuple[TensorSpec, ...]
    predict: Callable[[Array, tuple[str, ...]], Prediction]
    """Rows `(rows, features)` and the outputs wanted; safe to be called by several threads."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    classes: tuple[Any, ...] = ()
    codes: Mapping[str, Mapping[Any, int]] = field(default_factory=dict)
    """Feature -> the number that stands for each of its categories in the rows."""


class Read(Protocol):
    """Reads a model's file."""

    def __call__(self, library: Any, file: Path, threads: int) -> Booster:
        """Blocking. Raises whatever the library raises of a file that it cannot read.

        Args:
            library: the module, imported.
            threads: what one prediction may use.
        """
        ...


def category(name: str, values: list[Any]) -> TensorSpec:
    """A feature that is one of `values`; others and null count as missing."""
    is_text = all(isinstance(value, str) for value in values)
    is_number = all(isinstance(value, (int, float)) for value in values)
    dtype = "string" if is_text else "float64" if is_number else "any"
    return TensorSpec(name, dtype, (None,), nullable=True, examples=tuple(values[:8]))


def number(name: str) -> TensorSpec:
    """A feature that is a number, or missing."""
    return TensorSpec(name, "float64", (None,), nullable=True)
