"""Rows at the very values at which a model turns, and on either side of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from app.runtimes.convert.columns import Column, taken
from app.runtimes.convert.rows import joined
from app.runtimes.convert.walk import Cuts, Found
from app.tensors import Array, Batch, storage

MAX_CUTS: Final = 20_000
"""Thresholds that are looked at; of more a part, spread over all."""
_FAR: Final = 1e15
"""Where the search for the value at which a part turns begins, on either side of zero."""
_LEAST: Final = np.int64(-(2**63))

Given = Callable[[Batch], Any]


def cut_rows(
    found: Found, columns: Sequence[Column], base: Batch, given: Given
) -> tuple[Batch | None, dict[int, list[float]]]:
    """Rows around each threshold, and the values of each column there.

    Each threshold of a tree is put into a row of `base` that comes by its node, if there is one.
    """
    total = sum(len(cuts.thresholds) for cuts in found.cuts)
    step = max(1, -(-total // MAX_CUTS))
    made, values = [], dict[int, list[float]]()
    for cuts in found.cuts:
        column = columns[cuts.column]
        if column.kind not in "fiu":
            continue
        visitors = _visitors(cuts, base, given)[::step]
        turns = turning(cuts, cuts.thresholds[::step], column, taken(base, visitors), given)
        is_there = ~np.isnan(turns)
        turns, visitors = turns[is_there], visitors[is_there]
        if not len(turns):
            continue
        values.setdefault(cuts.column, []).extend(turns.tolist())
        for around in beside(turns, storage(column.spec.dtype)):
            rows = taken(base, visitors)
            column.put(rows, around)
            made.append(rows)
    return (joined(made) if made else None), values


def _visitors(cuts: Cuts, base: Batch, given: Given) -> Array:
    """For each threshold the number of a row in `base`."""
    spread = np.arange(len(cuts.thresholds)) % base.rows
    if cuts.tree is None or cuts.nodes is None:
        return spread
    seen = np.asarray(cuts.feed(given(base)), np.float64)
    if cuts.is_narrow:
        seen = seen.astype(np.float32).astype(np.float64)
    found = cuts.tree.visitors(seen)[cuts.nodes]
    return np.where(found < 0, spread, found)


def turning(cuts: Cuts, thresholds: Array, column: Column, rows: Batch, given: Given) -> Array:
    """For each threshold the last value of the column that is on its left side; NaN: there is none.

    Found by halving the doubles between two far ones until two are left that are neighbours.
    """

    def is_left(values: Array) -> Array:
        column.put(rows, values)
        result: Array = cuts.seen(given(rows)) <= thresholds
        return result

    low = np.full(len(thresholds), -_FAR)
    high = -low
    starts_left, ends_left = is_left(low), is_left(high)
    below, above = _rank(low), _rank(high)
    while ((middle := _middle(below, above)) != below).any():
        stays = is_left(_value(middle)) == starts_left
        below, above = np.where(stays, middle, below), np.where(stays, above, middle)
    last = np.where(starts_left, _value(below), _value(above))
    return np.where(starts_left == ends_left, np.nan, last)


def beside(turns: Array, dtype: np.dtype[Any]) -> list[Array]:
    """The values, and those next to them in 64 and in 32 bits; whole ones where all are."""
    if dtype.kind in "iu":
        floor, info = np.floor(turns), np.iinfo(dtype)
        near = [floor - 1, floor, floor + 1, floor + 2]
        return [
            np.clip(v, max(info.min, -(2**53)), min(info.max, 2**53)).astype(dtype) for v in near
        ]
    narrow = turns.astype(np.float32)
    around = [turns, np.nextafter(turns, -np.inf), np.nextafter(turns, np.inf), narrow]
    around += [np.nextafter(narrow, np.float32(side)) for side in (-np.inf, np.inf)]
    return [values.astype(dtype) for values in around]


def _middle(below: Array, above: Array) -> Array:
    """Halfway, rounded down; their sum and their difference may be too large for 64 bits."""
    middle: Array = (below >> 1) + (above >> 1) + (below & above & 1)
    return middle


def _rank(values: Array) -> Array:
    """Whole numbers in the order of the doubles, neighbours for neighbours."""
    bits = values.view(np.int64)
    return np.where(bits < 0, _LEAST - bits, bits)


def _value(ranks: Array) -> Array:
    bits = np.where(ranks < 0, _LEAST - ranks, ranks)
    return np.ascontiguousarray(bits).view(np.float64)


def boundary_rows(
    base: Batch, columns: Sequence[Column], label: Callable[[Batch], Array], pairs: int
) -> Batch | None:
    """Rows on either side of where the class changes, next to each other by one part in 10^9.

    None where nothing but whole numbers and texts can change it.
    """
    moving = {c.spec.name for c in columns if c.kind == "f" and "enum" not in c.rules}
    labels = label(base)
    order = np.arange(base.rows)
    first, second = taken(base, order), taken(base, (order + 1) % base.rows)
    for name in base.arrays.keys() - moving:
        second.arrays[name] = first.arrays[name]
    ends = {n: (first.arrays[n], second.arrays[n]) for n in moving}
    finite = np.ones(base.rows, bool)
    for pair in ends.values():
        for array in pair:
            finite &= np.isfinite(array.reshape(base.rows, -1)).all(axis=1)
    differ = np.flatnonzero((labels != label(second)) & finite)[:pairs]
    if not len(differ) or not moving:
        return None

    def between(part: Array) -> Batch:
        rows = taken(first, differ)
        for name, (start, end) in ends.items():
            share = part.reshape(-1, *(1,) * (start.ndim - 1))
            rows.arrays[name] = start[differ] * (1 - share) + end[differ] * share
        return rows

    low, high = np.zeros(len(differ)), np.ones(len(differ))
    for _ in range(30):
        middle = (low + high) / 2
        stays = label(between(middle)) == labels[differ]
        low, high = np.where(stays, middle, low), np.where(stays, high, middle)
    return joined([between(low), between(high)])
