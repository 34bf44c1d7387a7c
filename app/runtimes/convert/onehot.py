"""Categories as columns of ones and zeros (OneHotEncoder), as doubles; skl2onnx has 32 bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType, StringTensorType
from sklearn.preprocessing import OneHotEncoder

from app.runtimes.convert.nodes import ML, Nodes
from app.runtimes.convert.trees import Unconvertible
from app.tensors import Array


def register() -> None:
    """Put the converter in the place of that of skl2onnx."""
    update_registered_converter(OneHotEncoder, "AmlServeOneHot", _declare, _convert)


def _declare(operator: Any) -> None:
    encoder = operator.raw_operator
    if encoder._infrequent_enabled:
        raise Unconvertible("an encoder with infrequent categories is not converted")
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = DoubleTensorType([rows, sum(len(k) for k in _kept(encoder))])


def _kept(encoder: Any) -> list[Array]:
    """For each column the places of the categories that are not dropped."""
    dropped = encoder.drop_idx_
    whole = [np.arange(len(categories)) for categories in encoder.categories_]
    if dropped is None:
        return whole
    return [k if d is None else np.delete(k, int(d)) for k, d in zip(whole, dropped, strict=True)]


def _convert(scope: Any, operator: Any, container: Any) -> None:
    encoder = operator.raw_operator
    nodes = Nodes(scope, container)
    made = []
    columns = _columns(nodes, operator.inputs)
    for (name, is_text), categories, kept in zip(
        columns, encoder.categories_, _kept(encoder), strict=True
    ):
        if len(kept):
            place = _place(nodes, name, categories, is_text=is_text)
            is_it = nodes.add("Equal", place, nodes.integers(kept.reshape(1, -1)))
            made.append(nodes.cast(is_it, TensorProto.DOUBLE))
    nodes.add("Concat", *made, axis=1, called=operator.outputs[0].full_name)


def _columns(nodes: Nodes, inputs: Any) -> Iterator[tuple[str, bool]]:
    """Each column by itself, `(rows, 1)`, and whether it is of texts."""
    for variable in inputs:
        is_text = isinstance(variable.type, StringTensorType)
        width = variable.type.shape[1] or 1
        for i in range(width):
            if width == 1:
                yield variable.full_name, is_text
            else:
                yield nodes.add("Gather", variable.full_name, nodes.integers([i]), axis=1), is_text


def _place(nodes: Nodes, name: str, categories: Array, *, is_text: bool) -> str:
    """The place of each value among the categories; -1: none of them."""
    values = categories.tolist()
    if is_text:
        return nodes.add(
            "LabelEncoder",
            name,
            domain=ML,
            keys_strings=[str(each) for each in values],
            values_int64s=list(range(len(values))),
            default_int64=-1,
        )
    if not all(isinstance(each, (bool, int, float)) for each in values):
        raise Unconvertible("categories that are neither texts nor numbers are not converted")
    numbers = nodes.doubles(np.array([values], np.float64))
    is_it = nodes.add("Equal", nodes.cast(name, TensorProto.DOUBLE), numbers)
    places = nodes.integers(np.arange(1, len(values) + 1)[None, :])
    matched = nodes.add("Mul", nodes.cast(is_it, TensorProto.INT64), places)
    place = nodes.add("ReduceSum", matched, nodes.integers([1]), keepdims=1)
    return nodes.add("Sub", place, nodes.integers([1]))
