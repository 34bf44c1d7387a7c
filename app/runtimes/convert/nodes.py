"""Nodes of a graph that skl2onnx builds, added one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from onnx import ModelProto, TensorProto
from onnx.defs import get_schema
from onnx.helper import make_attribute, make_opsetid

from app.tensors import Array

OPSET: Final = 18
"""Of the standard operators; the last one in which all that skl2onnx writes is known to run."""
TREES: Final = "aml-serve"
"""Stands for ai.onnx.ml 5, of which skl2onnx does not know; `finished` puts that in its place."""
ML: Final = "ai.onnx.ml"
_ML_OPSET: Final = 5
_VERSIONS: Final = {TREES: 1, ML: 2}
"""Of operators beyond the standard ones; of ML only LabelEncoder is used."""
_LOCALE: Final = "C.UTF-8"
"""What texts are put into lower case by; skl2onnx wants en_US, which few containers have."""


def finished(model: ModelProto) -> ModelProto:
    """`model` as onnxruntime takes it, its texts put into lower case in any container.

    skl2onnx declares outputs before it knows whether parts are doubles; onnxruntime knows.
    """
    for output in model.graph.output:
        output.ClearField("type")
    for node in model.graph.node:
        if node.op_type == "StringNormalizer":
            node.attribute.append(make_attribute("locale", _LOCALE))
    trees = [node for node in model.graph.node if node.domain == TREES]
    for node in trees:
        node.domain = ML
    if trees:
        others = [each for each in model.opset_import if each.domain not in (TREES, ML)]
        del model.opset_import[:]
        model.opset_import.extend([*others, make_opsetid(ML, _ML_OPSET)])
    return model


class Nodes:
    """Adds nodes to skl2onnx's container; each method gives the name of what it adds."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope = scope
        self._container = container

    def doubles(self, values: Any) -> str:
        """Stored numbers."""
        return self._stored(np.asarray(values, np.float64), TensorProto.DOUBLE)

    def integers(self, values: Sequence[int] | Array) -> str:
        """Stored whole numbers."""
        return self._stored(np.asarray(values, np.int64), TensorProto.INT64)

    def texts(self, values: Sequence[str]) -> str:
        """Stored texts, as one axis."""
        name = self._name("stored")
        content = [value.encode() for value in values]
        self._container.add_initializer(name, TensorProto.STRING, [len(content)], content)
        return name

    def add(self, kind: str, *inputs: str, called: str = "", domain: str = "", **given: Any) -> str:
        """One node with one output, `called` so where that is told; `given`: its attributes."""
        output = called or self._name("made")
        version = _VERSIONS.get(domain) or get_schema(kind, OPSET).since_version
        self._container.add_node(
            kind, list(inputs), [output], op_domain=domain, op_version=version, **given
        )
        return output

    def cast(self, name: str, kind: int) -> str:
        """`name` in the type `kind`, a TensorProto.DataType."""
        return self.add("Cast", name, to=kind)

    def _stored(self, values: Array, kind: int) -> str:
        name = self._name("stored")
        self._container.add_initializer(name, kind, list(values.shape), values.ravel().tolist())
        return name

    def _name(self, kind: str) -> str:
        return str(self._scope.get_unique_variable_name(kind))
