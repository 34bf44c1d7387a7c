"""Do two models answer alike: classes exactly, numbers within a tolerance."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np

from app.runtimes.convert.columns import taken
from app.schema.results import plain
from app.tensors import Array, Batch, Prediction, Signature

CHUNK: Final = 2048
"""Rows of one call."""


class Predicts(Protocol):
    """What is compared."""

    def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        """As of a `Model`."""
        ...


@dataclass(slots=True)
class Comparison:
    """Two models, row by row."""

    wanted: Predicts
    got: Predicts
    signature: Signature
    tolerance: float
    rows: int = 0
    largest: float = 0.0
    """Difference between two numbers, relative or absolute, whichever is smaller."""
    difference: str = ""
    """The first that counts, for people; empty: there is none."""
    outputs: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.outputs = tuple(spec.name for spec in self.signature.outputs)

    def add(self, batch: Batch, kind: str) -> bool:
        """Compare all rows; whether all were alike. `kind` is what they are called."""
        for start in range(0, batch.rows, CHUNK):
            part = taken(batch, np.arange(start, min(start + CHUNK, batch.rows)))
            alike = self.alike(part)
            self.rows += part.rows
            if not alike.all():
                row = int(np.argmin(alike))
                one = taken(part, np.array([row]))
                self.difference = f"{kind}, row {start + row}: {self._told(one)}"
                return False
        return True

    def alike(self, batch: Batch) -> Array:
        """For each row whether both answer it alike, or neither does."""
        wanted, answers = _answers(self.wanted, batch, self.outputs)
        got, also = _answers(self.got, batch, self.outputs)
        alike: Array = answers == also
        both = answers & also
        for name in self.outputs if both.any() else ():
            pair = (wanted[name][both], got[name][both])
            if pair[0].shape != pair[1].shape:
                return np.zeros(batch.rows, bool)
            alike[both] &= self._same(*pair)
        return alike

    def _same(self, wanted: Array, got: Array) -> Array:
        apart = distances(wanted, got)
        fits = apart <= self.tolerance
        if fits.any():
            self.largest = max(self.largest, float(apart[fits].max()))
        return np.asarray(fits)

    def _told(self, one: Batch) -> str:
        """How the answers to a row differ."""
        told = []
        for model in (self.got, self.wanted):
            try:
                told.append(plain(model.predict(one, self.outputs)))
            except Exception as error:  # noqa: BLE001  # a model may raise anything
                told.append(f"it raises {type(error).__name__}")
        got, wanted = told
        if isinstance(got, dict) and isinstance(wanted, dict):
            name = next(n for n in self.outputs if n == self.outputs[-1] or got[n] != wanted[n])
            got, wanted = got[name], wanted[name]
            return f"{name}: ONNX gives {_short(got)}, scikit-learn {_short(wanted)}"
        return f"ONNX gives {_short(got)}, scikit-learn {_short(wanted)}"


def distances(wanted: Array, got: Array) -> Array:
    """For each row how far two outputs are apart, relative or absolute, whichever is smaller.

    0 for what is equal, NaN for NaN too; infinity for classes that are not.
    """
    count = len(wanted)
    if wanted.dtype.kind != "f" or got.dtype.kind != "f":
        is_same = (wanted == got).reshape(count, -1).all(axis=1)
        return np.where(is_same, 0.0, np.inf)
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(got - wanted) / np.maximum(1, np.maximum(np.abs(got), np.abs(wanted)))
    apart = np.where((wanted == got) | (np.isnan(wanted) & np.isnan(got)), 0, apart)
    worst: Array = np.nan_to_num(apart, nan=np.inf).reshape(count, -1).max(axis=1)
    return worst


def _short(value: Any) -> str:
    if isinstance(value, str):
        return value
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _answers(model: Predicts, batch: Batch, outputs: tuple[str, ...]) -> tuple[Prediction, Array]:
    """What `model` answers, and for which rows it does; rows that raise are found by halving."""
    try:
        found = model.predict(batch, outputs)
        return {n: np.asarray(found[n]) for n in outputs}, np.ones(batch.rows, bool)
    except Exception:  # noqa: BLE001  # a model may raise anything
        if batch.rows == 1:
            return {}, np.zeros(1, bool)
    middle = batch.rows // 2
    parts = [np.arange(middle), np.arange(middle, batch.rows)]
    halves = [_answers(model, taken(batch, part), outputs) for part in parts]
    answered = np.concatenate([is_answered for _, is_answered in halves])
    return _spread(halves, answered, outputs), answered


def _spread(
    halves: list[tuple[Prediction, Array]], answered: Array, outputs: tuple[str, ...]
) -> Prediction:
    """The answers of both halves in their places; in the others stands anything."""
    found: Prediction = {}
    at = 0
    for prediction, is_answered in halves:
        rows = len(is_answered)
        for name in outputs if prediction else ():
            part = prediction[name]
            whole = found.get(name)
            if whole is None:
                whole = found[name] = np.empty((len(answered), *part.shape[1:]), part.dtype)
            whole[at : at + rows] = part
        at += rows
    return found


def median_s(call: Callable[[], object], budget_s: float) -> float:
    """Seconds that `call` takes, by calling it for so long."""
    from time import perf_counter

    call()
    times, ends = list[float](), perf_counter() + budget_s
    while len(times) < 5 or perf_counter() < ends:
        started = perf_counter()
        call()
        times.append(perf_counter() - started)
    return float(np.median(times))
