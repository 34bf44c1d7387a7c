"""Lists of numbers of the one input of a model -> its array, at one look.

Only of documents that orjson read, which knows no infinity and no NaN. Whatever is not plainly
right gives nothing here: `columns` and `values` look again, and say why.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np

from app.schema.forms import depth_of
from app.schema.layout import Layout
from app.tensors import Array, Signature, storage

_CODES: Final = {"i1": "b", "i2": "h", "i4": "i", "i8": "q"} | {
    "u1": "B", "u2": "H", "u4": "I", "u8": "Q", "f4": "f", "f8": "d",
}  # fmt: skip
"""Numeric types -> codes of `struct`, which refuses what is out of range, and all but numbers."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Of the one input of a model that takes any number of records, each of fixed sizes."""

    name: str
    dtype: np.dtype[Any]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, signature: Signature, layout: Layout) -> Shape | None:
        """None, where the signature is another one, or has rules beyond types."""
        if not layout.batched or len(signature.inputs) != 1 or not layout.record_depth:
            return None
        spec = signature.inputs[0]
        dtype = storage(spec.dtype)
        sizes = tuple(size for size in spec.shape[1:] if size)
        if len(sizes) < len(spec.shape) - 1 or dtype.str[1:] not in _CODES:
            return None
        return cls(spec.name, dtype, sizes)


class Numbers:
    """Reads such lists; used by many threads."""

    def __init__(self, shape: Shape) -> None:
        self.name = shape.name
        self._dtype = shape.dtype
        *self._outer, self._width = self._sizes = shape.sizes
        code = _CODES[shape.dtype.str[1:]]
        # "=" and not "@": native packing makes infinity of a number beyond the range.
        self._pack_into = struct.Struct(f"={self._width}{code}").pack_into
        self._row_bytes = self._width * shape.dtype.itemsize

    def read(self, data: Any) -> tuple[Array, bool] | None:
        """The array, rows first, and whether `data` was a single record."""
        if type(data) is not list or not data:
            return data if type(data) is tuple else None  # as `numerals` read it
        single = type(data[0]) is not list
        if self._outer:
            single = depth_of(data) == len(self._sizes)
        records = [data] if single else data
        array: Any = np.empty((len(records), *self._sizes), self._dtype)
        try:
            if len(records) == 1 and not self._outer:
                self._pack_into(array, 0, *records[0])
            else:
                self._fill(array, records)
        except (struct.error, TypeError, OverflowError, _Ragged):
            return None
        return array, single

    def _fill(self, array: Any, records: Sequence[Any]) -> None:
        """Raises: _Ragged, or what packing raises."""
        rows = records
        for size in self._outer:
            if not all(type(row) is list and len(row) == size for row in rows):
                raise _Ragged
            rows = list(chain.from_iterable(rows))
        pack_into, at, step = self._pack_into, 0, self._row_bytes
        for row in rows:
            pack_into(array, at, *row)
            at += step


class _Ragged(Exception):
    """A list is not of the size that it must have."""
