"""Rows to compare by: made up from what is known of the columns, and taken from the golden file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.errors import ServingError
from app.runtimes.convert.columns import Column, taken
from app.runtimes.convert.walk import Found
from app.schema import Schema
from app.tensors import Array, Batch, storage

SEED: Final = 2018
_WIDE: Final = (-3.0, 3.0)
"""Where numbers are made up of which nothing is known."""
_JOINTS: Final = (" ", " ", " ", ", ", ". ", "-", "  ", "'", "\n", "_", " 1 ")
_SENTENCE: Final = 12
"""Words of a made-up text at most."""


class Maker:
    """Makes rows from a seed: equal ones each time."""

    def __init__(self, columns: Sequence[Column], found: Found, schema: Schema) -> None:
        self._columns = columns
        self._found = found
        self._schema = schema
        self._rng = np.random.default_rng(SEED)
        self.pools: dict[int, list[Any]] = {}
        """For each column further values that are worth a try."""

    def rows(self, count: int, nulls: frozenset[int] = frozenset()) -> Batch:
        """`count` rows; now and then one is null in the columns numbered in `nulls`."""
        batch = self._blank(count)
        for i, column in enumerate(self._columns):
            values = self._values(i, column, count)
            if i in nulls:
                values[self._rng.random(count) < 0.03] = math.nan
            column.put(batch, values)
        return batch

    def _blank(self, count: int) -> Batch:
        arrays: dict[str, Array] = {}
        for spec in self._schema.signature.inputs:
            columns = [c for c in self._columns if c.spec is spec]
            is_matrix = len(spec.shape) == 2
            shape = (count, *((len(columns) or 1,) if is_matrix else ()))
            arrays[spec.name] = np.zeros(shape, storage(spec.dtype))
        return Batch(arrays, count)

    def _values(self, i: int, column: Column, count: int) -> Array:
        options = [o for o in column.rules.get("enum", ()) if o is not None]
        known = [k for k in self._found.known.get(i, ()) if k is not None and k == k]
        if not options and known:
            options = known
        if column.kind == "O":
            return self._texts(i, column, options, count)
        if options and column.kind != "b":
            return np.asarray(options, storage(column.spec.dtype))[self._picks(options, count)]
        if column.kind == "b":
            return self._rng.random(count) < 0.5
        return self._numbers(i, column, count)

    def _texts(self, i: int, column: Column, options: list[Any], count: int) -> Array:
        made: list[Any] = list(options) or [*column.spec.examples, *self.pools.get(i, ())]
        words = self._found.words.get(i)
        if words and not options:
            made += [self._sentence(words) for _ in range(count)]
        made = [text for text in made if isinstance(text, str)] or ["a text", "another text"]
        values = np.empty(count, "O")
        values[:] = [made[k] for k in self._picks(made, count)]
        return values

    def _sentence(self, words: list[str]) -> str:
        text = ""
        for k in self._rng.integers(0, len(words), self._rng.integers(1, _SENTENCE)):
            word = words[k].upper() if self._rng.random() < 0.1 else words[k]
            text += word + _JOINTS[self._rng.integers(len(_JOINTS))]
        return text

    def _numbers(self, i: int, column: Column, count: int) -> Array:
        low, high = self._span(i, column)
        values = self._rng.uniform(low, high, count)
        pool = [p for p in self.pools.get(i, ()) if p == p]
        if pool:
            chosen = np.asarray(pool, np.float64)[self._picks(pool, count)]
            values = np.where(self._rng.random(count) < 0.5, chosen, values)
        dtype = storage(column.spec.dtype)
        if dtype.kind in "iu" or "integer" in column.rules.get("type", ()):
            values = np.rint(values)
        if dtype.kind in "iu":
            info = np.iinfo(dtype)
            values = np.clip(values, max(info.min, -(2**53)), min(info.max, 2**53))
        return values.astype(dtype)

    def _span(self, i: int, column: Column) -> tuple[float, float]:
        """Where values are made up: where they may be and, if that is known, where they were."""
        rules = column.rules
        low = float(rules.get("minimum", rules.get("exclusiveMinimum", -math.inf)))
        high = float(rules.get("maximum", rules.get("exclusiveMaximum", math.inf)))
        pool = [p for p in (*self.pools.get(i, ()), *column.spec.examples) if _is_number(p)]
        usual = self._found.spans.get(i) or ((min(pool), max(pool)) if pool else _WIDE)
        margin = 0.2 * (usual[1] - usual[0]) or 1.0
        return max(low, min(usual[0] - margin, high)), min(high, max(usual[1] + margin, low))

    def _picks(self, options: Sequence[Any], count: int) -> Array:
        return self._rng.integers(0, len(options), count)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def of_golden(golden: Path | None, schema: Schema) -> Batch | None:
    """All rows of the golden file that fit the schema; the check at load tells of the others."""
    if golden is None:
        return None
    found = []
    try:
        for entry in json.loads(golden.read_bytes()):
            found.append(schema.call(entry["request"]).batch)
    except (ServingError, ValueError, TypeError, KeyError):
        pass
    keys = {batch.row_key() for batch in found}
    return Batch.join(found) if len(keys) == 1 else None


def joined(batches: Sequence[Batch]) -> Batch:
    """The rows of all, though a column be of whole numbers in one and not in another."""
    first = batches[0]
    arrays = {n: np.concatenate([b.arrays[n] for b in batches]) for n in first.arrays}
    return Batch(arrays, sum(batch.rows for batch in batches))


def repeated(batch: Batch, count: int) -> Batch:
    """The first rows of `batch`, from the start again where there are too few."""
    return taken(batch, np.arange(count) % batch.rows)
