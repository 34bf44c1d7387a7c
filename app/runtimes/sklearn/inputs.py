"""What a fitted estimator takes, as far as it tells: names, kinds, examples of values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from app.tensors import TensorSpec


def derived_inputs(estimator: Any) -> tuple[tuple[TensorSpec, ...], tuple[str, ...]]:
    """The inputs (none when it cannot tell), and the names of those whose type is not sure."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        known: dict[str, TensorSpec] = {}
        for spec in _columns(estimator, list(names)):
            if spec.dtype != "any" or spec.name not in known:
                known[spec.name] = spec
        inputs = tuple(known.get(n, TensorSpec(n, "any", (None,), nullable=True)) for n in names)
        return inputs, tuple(spec.name for spec in inputs if spec.dtype == "any")
    first = _first(estimator)
    if hasattr(first, "build_analyzer"):
        return (TensorSpec("text", "string", (None,)),), ()
    width = getattr(estimator, "n_features_in_", None)
    if width is None:
        return (), ()
    dtype = _kind(first)
    spec = TensorSpec("input", dtype, (None, int(width)), nullable=True)
    return (spec,), ("input",) if dtype == "any" else ()


def _first(estimator: Any) -> Any:
    """What sees the payload first; a search and a transformed target pass it on."""
    while True:
        if isinstance(estimator, Pipeline):
            estimator = estimator.steps[0][1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "regressor_"):
            estimator = estimator.regressor_
        else:
            return estimator


def _columns(estimator: Any, names: list[str]) -> Iterator[TensorSpec]:
    first = _first(estimator)
    if not isinstance(first, ColumnTransformer):
        yield from _of_transformer(first, names)
        return
    for _, transformer, columns in first.transformers_:
        if not isinstance(transformer, str):
            yield from _of_transformer(_first(transformer), _named(columns, names))


def _named(columns: Any, names: list[str]) -> list[str]:
    """The names that a ColumnTransformer's selection stands for."""
    if isinstance(columns, str):
        return [columns]
    if isinstance(columns, slice):
        return names[_positions(columns, names)]
    chosen = list(columns) if isinstance(columns, Iterable) else [columns]
    if chosen and all(isinstance(c, (bool, np.bool_)) for c in chosen):
        return [name for name, taken in zip(names, chosen, strict=True) if taken]
    return [c if isinstance(c, str) else names[c] for c in chosen]


def _positions(columns: slice, names: list[str]) -> slice:
    """A slice of names counts its last one in, as pandas does."""
    start, stop = columns.start, columns.stop
    first = names.index(start) if isinstance(start, str) else start
    last = names.index(stop) + 1 if isinstance(stop, str) else stop
    return slice(first, last, columns.step)


def _of_transformer(transformer: Any, names: list[str]) -> Iterator[TensorSpec]:
    categories = getattr(transformer, "categories_", None)
    is_category = getattr(transformer, "is_categorical_", None)  # boosting on pandas' categories
    for i, name in enumerate(names):
        dtype = "any" if is_category is not None and is_category[i] else _kind(transformer)
        spec = TensorSpec(name, dtype, (None,), nullable=True)
        if isinstance(categories, list) and len(categories) == len(names):
            yield _of_categories(spec, categories[i])
        else:
            yield spec


def _of_categories(spec: TensorSpec, categories: Any) -> TensorSpec:
    """The kind and examples of a column that was encoded from `categories`."""
    values = [v for v in np.asarray(categories).tolist() if v is not None and v == v]
    kinds = {type(value) for value in values}
    dtype = "any"
    if kinds == {str}:
        dtype = "string"
    elif kinds == {bool}:
        dtype = "bool"
    elif kinds and kinds <= {int, float}:
        dtype = "float64"
    return replace(spec, dtype=dtype, nullable=dtype != "bool", examples=tuple(values[:8]))


def _kind(transformer: Any) -> str:
    """Numbers, unless the estimator says that it takes other things too."""
    if hasattr(transformer, "build_analyzer"):
        return "string"
    if isinstance(transformer, str):
        return "any"
    if isinstance(transformer, FunctionTransformer) and transformer.func is not None:
        return "any"
    try:
        tags = get_tags(transformer).input_tags
    except (AttributeError, ValueError, TypeError):
        return "any"
    fills_text = np.asarray(getattr(transformer, "statistics_", 0)).dtype.kind in "OU"
    return "any" if tags.string or tags.categorical or fills_text else "float64"
