"""JSON values of one input -> an array, at one look; `values` is asked when that fails."""

from __future__ import annotations

import math
from array import array as buffer_of
from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any, Final

import numpy as np

from app.schema.values import holds_null, objects_of, sizes_of
from app.tensors import Array, TensorSpec, storage

_KINDS: Final = {
    "f": frozenset({int, float, bool}),
    "i": frozenset({int, bool}),
    "u": frozenset({int, bool}),
    "b": frozenset({bool}),
    "M": frozenset[type](),
    "O": frozenset({int, float, bool, str}),
}
"""Kind of a numpy type -> Python's types that become it without a closer look."""

_BUFFERS: Final = {"i1": "b", "i2": "h", "i4": "i", "i8": "q"} | {
    "u1": "B", "u2": "H", "u4": "I", "u8": "Q", "f2": "d", "f4": "f", "f8": "d",
}  # fmt: skip
"""Numeric types -> type codes of `array.array`, which refuses integers that are out of range."""
_FEW: Final = 64
"""So many values are added up faster by Python than by numpy."""


class Column:
    """One input, made ready for reading; what does not depend on the payload is worked out here."""

    def __init__(self, spec: TensorSpec, depth: int) -> None:
        """`depth`: how deep the value of one record is nested."""
        self.spec = spec
        self.depth = depth
        self._dtype = storage(spec.dtype)
        kinds = frozenset({str}) if spec.dtype == "string" else _KINDS[self._dtype.kind]
        takes_null = spec.nullable and self._dtype.kind in "fO"
        self._kinds = kinds | {NoneType} if takes_null else kinds
        self._refuses_all = holds_null(spec)
        self._code = _BUFFERS.get(self._dtype.str[1:])
        own = spec.shape[len(spec.shape) - depth :] if depth else ()
        self._sizes = None if None in own else [size for size in own if size is not None]

    def read(self, values: Sequence[Any]) -> Array | None:
        """The whole column, rows first; None when any value wants a closer look.

        Args:
            values: one per record.
        """
        if not self.depth:
            return self._scalars(values)
        sizes = self._sizes
        if sizes is None:
            sizes = sizes_of(values, self.spec, self.depth)
        flat = None if self._code is None else self._numbers(self._code, values, sizes)
        if flat is None:
            items: list[Any] = []
            flat = self._scalars(items) if _pour(items.extend, values, sizes) else None
        return None if flat is None else flat.reshape(len(values), *sizes)

    def _scalars(self, values: Sequence[Any]) -> Array | None:
        """Of values that are no lists. numpy reads "1" as a number: hence the look at types."""
        if not self._kinds.issuperset(map(type, values)):
            return None
        kind = self._dtype.kind
        if kind == "O":
            return objects_of(values)
        try:
            if kind == "f":
                return self._narrowed(np.array(values, dtype=np.float64))
            return None if self._refuses_all else np.array(values, dtype=self._dtype)
        except OverflowError:
            return None

    def _numbers(self, code: str, values: Sequence[Any], sizes: list[int]) -> Array | None:
        """Nested numbers, none of them null: a typed buffer takes no text, and no null."""
        buffer = buffer_of(code)
        try:
            if not _pour(buffer.fromlist, values, sizes):
                return None
        except (TypeError, OverflowError):
            return None
        flat: Array = np.frombuffer(buffer, dtype=code)
        if code == "f":  # infinity is what became of a number beyond the range; JSON has none
            total = sum(buffer) if len(buffer) < _FEW else np.add.reduce(flat, dtype=np.float64)
            return flat if math.isfinite(total) else None
        return self._narrowed(flat) if code == "d" else flat

    def _narrowed(self, array: Array) -> Array | None:
        if self._dtype == array.dtype:
            return array
        with np.errstate(over="ignore"):
            narrowed = array.astype(self._dtype)
        return None if np.isinf(narrowed).any() else narrowed


def _pour(add: Callable[[list[Any]], None], lists: Sequence[Any], sizes: list[int]) -> bool:
    """Give `add` each innermost list in turn; False at the first that is not of `sizes`."""
    size, *inner = sizes
    for item in lists:
        if type(item) is not list or len(item) != size:
            return False
        if not inner:
            add(item)
        elif not _pour(add, item, inner):
            return False
    return True
