"""What fills gaps (SimpleImputer): onnxruntime's own operator takes no doubles and no texts."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType, StringTensorType
from sklearn.impute import SimpleImputer

from app.runtimes.convert.nodes import Nodes
from app.runtimes.convert.trees import Unconvertible
from app.tensors import Array


def register() -> None:
    """Put the converter in the place of that of skl2onnx."""
    update_registered_converter(SimpleImputer, "AmlServeImputer", _declare, _convert)


def _kept(imputer: Any) -> Array:
    """The columns that are not left out for having been empty at training."""
    statistics = np.asarray(imputer.statistics_)
    if statistics.dtype.kind != "f" or imputer.keep_empty_features:
        return np.arange(len(statistics))
    return np.flatnonzero(~np.isnan(statistics))


def _declare(operator: Any) -> None:
    given, imputer = operator.inputs[0].type, operator.raw_operator
    if imputer.indicator_ is not None:
        raise Unconvertible("an imputer that adds columns (add_indicator) is not converted")
    kind = StringTensorType if isinstance(given, StringTensorType) else DoubleTensorType
    operator.outputs[0].type = kind([operator.inputs[0].get_first_dimension(), len(_kept(imputer))])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    imputer = operator.raw_operator
    nodes = Nodes(scope, container)
    rows, output = operator.inputs[0].full_name, operator.outputs[0].full_name
    gap = imputer.missing_values
    if isinstance(operator.inputs[0].type, StringTensorType):
        if not isinstance(gap, str):  # a text is no gap then, and nothing else gets here
            nodes.add("Identity", rows, called=output)
            return
        is_gap = nodes.add("Equal", rows, nodes.texts([gap]))
        fill = nodes.texts([str(each) for each in imputer.statistics_])
        nodes.add("Where", is_gap, fill, rows, called=output)
        return
    kept = _kept(imputer)
    rows = nodes.cast(rows, TensorProto.DOUBLE)
    if len(kept) < len(imputer.statistics_):
        rows = nodes.add("Gather", rows, nodes.integers(kept), axis=1)
    fill = nodes.doubles(np.asarray(imputer.statistics_)[kept])
    is_nan = isinstance(gap, float) and gap != gap
    is_gap = nodes.add("IsNaN", rows) if is_nan else nodes.add("Equal", rows, nodes.doubles(gap))
    nodes.add("Where", is_gap, fill, rows, called=output)
