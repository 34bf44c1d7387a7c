"""Fitted trees of scikit-learn: what they ask of a row, and what their leaves hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn.ensemble import (
    BaseEnsemble,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.tree import BaseDecisionTree

from app.tensors import Array

GRADIENT: Final = (GradientBoostingClassifier, GradientBoostingRegressor)
HISTOGRAM: Final = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
_LEAF: Final = -1


class Unconvertible(Exception):
    """A model has no ONNX form; the text says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """Nodes by number, the root first; `left` is -1 at a leaf."""

    feature: Array
    threshold: Array
    """A row goes left when its feature is at most this."""
    left: Array
    right: Array
    nan_left: Array
    value: Array
    """`(nodes, numbers)`: what a leaf holds."""

    @property
    def is_leaf(self) -> Array:
        """Of each node."""
        found: Array = self.left == _LEAF
        return found

    def visitors(self, rows: Array) -> Array:
        """For each node the first of `rows`, `(rows, features)`, that comes by; -1: none does."""
        found = np.full(len(self.left), -1)
        waiting = [(0, np.arange(len(rows)))]
        while waiting:
            node, here = waiting.pop()
            if not len(here):
                continue
            found[node] = here[0]
            if self.left[node] == _LEAF:
                continue
            values = rows[here, self.feature[node]]
            goes_left = np.where(
                np.isnan(values), self.nan_left[node], values <= self.threshold[node]
            )
            waiting += [(self.left[node], here[goes_left]), (self.right[node], here[~goes_left])]
        return found


def grown_in(estimator: Any) -> list[Tree]:
    """The trees of an estimator that is made of nothing else; none for any other.

    Raises:
        Unconvertible: they ask what a comparison of numbers does not answer.
    """
    if isinstance(estimator, HISTOGRAM):
        return [_of_histogram(p.nodes) for stage in estimator._predictors for p in stage]
    return [_of_tree(tree.tree_) for tree in _decision_trees(estimator)]


def is_narrow(estimator: Any) -> bool:
    """Its trees compare numbers rounded to 32 bits; those of histograms compare them whole."""
    return not isinstance(estimator, HISTOGRAM)


def _decision_trees(estimator: Any) -> Iterable[Any]:
    if isinstance(estimator, BaseDecisionTree):
        return [estimator]
    if isinstance(estimator, GRADIENT):
        return [tree for stage in estimator.estimators_ for tree in stage]
    if isinstance(estimator, BaseEnsemble) and hasattr(estimator, "estimators_"):
        several = list(estimator.estimators_)
        is_forest = all(isinstance(each, BaseDecisionTree) for each in several)
        return several if is_forest and not hasattr(estimator, "estimators_features_") else ()
    return ()


def _of_tree(tree: Any) -> Tree:
    nodes = tree.__getstate__()["nodes"]
    has_nan = "missing_go_to_left" in nodes.dtype.names
    nan_left = nodes["missing_go_to_left"].astype(bool) if has_nan else np.zeros(len(nodes), bool)
    left = np.where(tree.children_left == tree.children_right, _LEAF, tree.children_left)
    value = tree.value.reshape(len(nodes), -1)
    return Tree(tree.feature, tree.threshold, left, tree.children_right, nan_left, value)


def _of_histogram(nodes: Any) -> Tree:
    if nodes["is_categorical"].any():
        raise Unconvertible("a tree splits on categories, which is not converted")
    return Tree(
        nodes["feature_idx"].astype(np.int64),
        nodes["num_threshold"].astype(np.float64),
        np.where(nodes["is_leaf"], _LEAF, nodes["left"].astype(np.int64)),
        nodes["right"].astype(np.int64),
        nodes["missing_go_to_left"].astype(bool),
        nodes["value"].astype(np.float64).reshape(-1, 1),
    )
