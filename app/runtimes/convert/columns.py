"""The columns of a request, whether they travel apart or as one matrix. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.tensors import Array, Batch, Signature, TensorSpec, storage


@dataclass(frozen=True, slots=True)
class Column:
    """One value of a record."""

    spec: TensorSpec
    position: int | None = None
    """In the matrix that `spec` stands for; None: it is a column of its own."""

    @property
    def rules(self) -> Mapping[str, Any]:
        """JSON Schema keywords for one value."""
        found: Mapping[str, Any] = self.spec.constraints
        inner = found.get("items")
        return inner if self.position is not None and isinstance(inner, dict) else found

    @property
    def kind(self) -> str:
        """Of numpy's types; `O` for texts."""
        return storage(self.spec.dtype).kind

    def __str__(self) -> str:
        place = "" if self.position is None else f"[{self.position}]"
        return f'"{self.spec.name}"{place}'

    def put(self, batch: Batch, values: Array) -> None:
        """Write `values`, one for each row, into `batch`, which is the caller's own."""
        arrays = batch.arrays
        if self.position is not None:
            arrays[self.spec.name][:, self.position] = values
            return
        shape = arrays[self.spec.name].shape
        arrays[self.spec.name] = np.reshape(values, shape)

    def of(self, batch: Batch) -> Array:
        """Its values, one for each row."""
        array = batch.arrays[self.spec.name]
        return array.reshape(batch.rows) if self.position is None else array[:, self.position]


def columns_of(signature: Signature, names: Any, width: int | None) -> list[Column]:
    """In the order in which the estimator counts them.

    Args:
        names: of the frame that it takes; None: it takes an array.
        width: how many columns it takes, where it tells.
    """
    if names is not None:
        specs = {spec.name: spec for spec in signature.inputs}
        return [Column(specs[name]) for name in names]
    only = signature.inputs[0]
    if len(signature.inputs) == 1 and len(only.shape) == 2:
        return [Column(only, i) for i in range(width or 1)]
    return [Column(spec) for spec in signature.inputs]


def taken(batch: Batch, rows: Array) -> Batch:
    """Copies of the rows numbered in `rows`."""
    return Batch({name: array[rows] for name, array in batch.arrays.items()}, len(rows))
