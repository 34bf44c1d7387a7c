"""What a fitted estimator gives: names, types and shapes, as far as it tells without a call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import ClusterMixin, OutlierMixin, is_regressor

from app.tensors import Array, TensorSpec, storage


def derived_outputs(estimator: Any) -> tuple[TensorSpec, ...]:
    """`label` (`variable` of a regressor), then `probabilities`, one per output of several."""
    classes = getattr(estimator, "classes_", None)
    several = isinstance(classes, list)
    is_number = _is_regressor(estimator)
    shape = (None, len(classes)) if several and classes is not None else (None,)
    dtype = "float64" if is_number else _label_dtype(estimator, classes)
    first = TensorSpec("variable" if is_number else "label", dtype, shape)
    if not hasattr(estimator, "predict_proba"):
        return (first,)
    if not several:
        width = None if classes is None else len(classes)
        return (first, TensorSpec("probabilities", "float64", (None, width)))
    return (first, *_scores([len(c) for c in classes or ()]))


def observed(specs: Sequence[TensorSpec], label: Any, scores: Any) -> tuple[TensorSpec, ...]:
    """`specs` as a first prediction shows them to be.

    Args:
        label: what `predict` gave.
        scores: what `predict_proba` gave; None without it.
    """
    first, *rest = specs
    if isinstance(scores, list):
        rest = _scores([np.shape(s)[-1] for s in scores])
    elif scores is not None:
        rest = [TensorSpec("probabilities", "float64", (None, None))]
    several = scores if isinstance(scores, list) else [scores] * len(rest)
    return (_seen(first, label), *map(_seen, rest, several))


def as_array(output: Any, dtype: str) -> Array:
    """What an estimator gave, as the array that its `TensorSpec` promises."""
    return _dense(output).astype(storage(dtype), copy=False)


def listed_classes(estimator: Any) -> tuple[Any, ...]:
    """What the columns of `probabilities` stand for; a list per output of several."""
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        return ()
    if isinstance(classes, list):
        return tuple(np.asarray(c).tolist() for c in classes)
    return tuple(np.asarray(classes).tolist())


def _scores(widths: Sequence[int]) -> list[TensorSpec]:
    return [TensorSpec(f"probabilities_{i}", "float64", (None, w)) for i, w in enumerate(widths)]


def _dense(output: Any) -> Array:
    return np.asarray(output.toarray() if hasattr(output, "toarray") else output)


def _seen(spec: TensorSpec, output: Any) -> TensorSpec:
    array = _dense(output)
    dtype = "any" if spec.dtype != "string" else "string"
    if array.dtype.kind in "fiubU":
        dtype = "string" if array.dtype.kind == "U" else array.dtype.name
    return replace(spec, dtype=dtype, shape=(None, *array.shape[1:]))


def _is_regressor(estimator: Any) -> bool:
    try:
        return bool(is_regressor(estimator))
    except AttributeError:  # it only looks like an estimator: a class of its own with `predict`
        return getattr(estimator, "_estimator_type", None) == "regressor"


def _label_dtype(estimator: Any, classes: Any) -> str:
    if classes is None:
        is_numbered = isinstance(estimator, (ClusterMixin, OutlierMixin))
        return "int64" if is_numbered else "any"
    array = np.asarray(classes[0] if isinstance(classes, list) else classes)
    if array.dtype.kind in "iufb":
        return array.dtype.name
    return "string" if all(isinstance(c, str) for c in array.tolist()) else "any"
