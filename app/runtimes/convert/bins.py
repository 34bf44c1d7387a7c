"""Bins (KBinsDiscretizer), in double precision: the converter of skl2onnx rounds to 32 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType
from sklearn.preprocessing import KBinsDiscretizer

from app.runtimes.convert.nodes import Nodes


def register() -> None:
    """Put the converter in the place of that of skl2onnx."""
    update_registered_converter(KBinsDiscretizer, "AmlServeBins", _declare, _convert)


def _declare(operator: Any) -> None:
    bins = operator.raw_operator.n_bins_
    width = len(bins) if operator.raw_operator.encode == "ordinal" else int(np.sum(bins))
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = DoubleTensorType([rows, width])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """A value's bin is the number of inner edges that are not above it."""
    encoder = operator.raw_operator
    nodes = Nodes(scope, container)
    inner = [edges[1:-1] for edges in encoder.bin_edges_]
    most = max(1, *(len(edges) for edges in inner))
    padded = np.full((1, len(inner), most), np.inf)
    for i, edges in enumerate(inner):
        padded[0, i, : len(edges)] = edges
    rows = nodes.cast(operator.inputs[0].full_name, TensorProto.DOUBLE)
    rows = nodes.add("Unsqueeze", rows, nodes.integers([2]))
    passed = nodes.add("GreaterOrEqual", rows, nodes.doubles(padded))
    passed = nodes.cast(passed, TensorProto.INT64)
    is_ordinal = encoder.encode == "ordinal"
    bins = nodes.add("ReduceSum", passed, nodes.integers([2]), keepdims=int(not is_ordinal))
    output = operator.outputs[0].full_name
    if is_ordinal:
        nodes.add("Cast", bins, to=TensorProto.DOUBLE, called=output)
        return
    width = int(max(encoder.n_bins_))
    is_in = nodes.add("Equal", bins, nodes.integers(np.arange(width).reshape(1, 1, width)))
    wide = nodes.add("Reshape", is_in, nodes.integers([-1, len(inner) * width]))
    wide = nodes.cast(wide, TensorProto.DOUBLE)
    kept = np.concatenate([i * width + np.arange(n) for i, n in enumerate(encoder.n_bins_)])
    nodes.add("Gather", wide, nodes.integers(kept), axis=1, called=output)
