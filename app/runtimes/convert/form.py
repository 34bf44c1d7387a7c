"""An ONNX graph with the signature of the estimator that it was made from."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.runtimes.convert.domain import Domain
from app.tensors import Array, Batch, Model, Prediction, Signature, storage


class Form:
    """The graph in place of the estimator: same inputs, same outputs, same types.

    Not a `Model` yet: it answers rows that scikit-learn would refuse. `Accelerated` does not.
    """

    def __init__(self, graph: Model, signature: Signature) -> None:
        self._graph = graph
        inputs, outputs = graph.signature.inputs, graph.signature.outputs
        self._own = {o.name: g.name for o, g in zip(signature.outputs, outputs, strict=False)}
        self._outputs = {
            o.name: (storage(o.dtype), (-1, *(s or _width(g.shape) for s in o.shape[1:])))
            for o, g in zip(signature.outputs, outputs, strict=False)
        }
        self._is_matrix = len(inputs) == 1 and inputs[0].name not in {
            spec.name for spec in signature.inputs
        }
        self._wants = {s.name: (-1, *(size or 1 for size in s.shape[1:])) for s in inputs}
        self._matrix = (inputs[0].name, storage(inputs[0].dtype), self._wants[inputs[0].name])

    def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        """As of a `Model`."""
        found = self._graph.predict(self._given(batch), tuple(self._own[n] for n in outputs))
        return {name: self._shaped(found[self._own[name]], name) for name in outputs}

    def _given(self, batch: Batch) -> Batch:
        arrays = batch.arrays
        if not self._is_matrix:
            given = {n: arrays[n].reshape(shape) for n, shape in self._wants.items()}
            return Batch(given, batch.rows)
        name, dtype, shape = self._matrix
        if len(arrays) == 1:
            (array,) = arrays.values()
        else:
            array = batch.matrix(list(arrays), dtype.name if dtype.kind != "O" else "string")
        return Batch({name: array.reshape(shape)}, batch.rows)

    def _shaped(self, array: Any, name: str) -> Array:
        dtype, shape = self._outputs[name]
        return np.reshape(array, shape).astype(dtype, copy=False)


def _width(shape: tuple[int | None, ...]) -> int:
    return shape[-1] or -1


class Accelerated:
    """A model that the ONNX form answers for, in the domain where the two were found equal.

    What lies outside of it - a null that scikit-learn refuses, a category it never saw - goes to
    scikit-learn itself.
    """

    def __init__(self, reference: Model, form: Form, domain: Domain) -> None:
        self._reference = reference
        self._form = form
        self._domain = domain
        self.signature = reference.signature
        self.is_steady = reference.is_steady

    def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        """See `Model`."""
        model = self._form if self._domain.holds(batch) else self._reference
        return model.predict(batch, outputs)
