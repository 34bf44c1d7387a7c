"""Trees, in double precision.

scikit-learn compares 32-bit features with 64-bit thresholds and adds 64-bit leaves; the operators
that skl2onnx writes for trees answer with 32 bits. ai.onnx.ml 5 has one that does not
(TreeEnsemble). Its converters are registered over those of skl2onnx, for the whole process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from onnx import TensorProto, numpy_helper
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType, StringTensorType
from sklearn.base import is_classifier
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)

from app.runtimes.convert.nodes import TREES, Nodes
from app.runtimes.convert.trees import GRADIENT, HISTOGRAM, Tree, Unconvertible, grown_in, is_narrow
from app.tensors import Array

_KINDS: Final = (
    *(DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor),
    *(RandomForestClassifier, RandomForestRegressor, ExtraTreesClassifier, ExtraTreesRegressor),
    *(*GRADIENT, *HISTOGRAM),
)
_OPTIONS: Final = {"zipmap": [False, True], "nocl": [False, True]}
_SUM: Final = 1
"""TreeEnsemble's aggregate_function (ai.onnx.ml 5)."""


def register() -> None:
    """Put the converters in the place of those of skl2onnx."""
    for kind in _KINDS:
        is_class = kind.__name__.endswith("Classifier")
        update_registered_converter(
            kind,
            f"AmlServe{kind.__name__}",
            _declare_classes if is_class else _declare_numbers,
            _convert,
            options=_OPTIONS if is_class else None,
        )


def _declare_classes(operator: Any) -> None:
    estimator, rows = operator.raw_operator, operator.inputs[0].get_first_dimension()
    if isinstance(estimator.classes_, list):
        raise Unconvertible("trees with several answers for a row are not converted")
    kind = Int64TensorType if _numbered(estimator.classes_) else StringTensorType
    operator.outputs[0].type = kind([rows])
    operator.outputs[1].type = DoubleTensorType([rows, len(estimator.classes_)])


def _declare_numbers(operator: Any) -> None:
    rows = operator.inputs[0].get_first_dimension()
    width = getattr(operator.raw_operator, "n_outputs_", 1)
    operator.outputs[0].type = DoubleTensorType([rows, width])


def _numbered(classes: Array) -> bool:
    """All of them are whole numbers."""
    return bool(classes.dtype.kind in "iub" or (classes.dtype.kind == "f" and _whole(classes)))


def _whole(classes: Array) -> bool:
    return bool((classes == np.floor(classes)).all())


def _convert(scope: Any, operator: Any, container: Any) -> None:
    estimator = operator.raw_operator
    nodes = Nodes(scope, container)
    rows = operator.inputs[0].full_name
    if is_narrow(estimator):
        rows = nodes.cast(rows, TensorProto.FLOAT)
    rows = nodes.cast(rows, TensorProto.DOUBLE)
    is_boosted = isinstance(estimator, (*GRADIENT, *HISTOGRAM))
    summed = _boosted(nodes, rows, estimator) if is_boosted else _averaged(nodes, rows, estimator)
    outputs = [output.full_name for output in operator.outputs]
    if not is_classifier(estimator):
        if isinstance(estimator, HistGradientBoostingRegressor):
            summed = _unlinked(nodes, summed, estimator)
        shape = nodes.integers([-1, getattr(estimator, "n_outputs_", 1)])
        nodes.add("Reshape", summed, shape, called=outputs[0])
        return
    chosen, scores = summed, summed
    if is_boosted:
        chosen, scores = _scored(nodes, summed, estimator)
    else:
        chosen = nodes.add("ArgMax", summed, axis=1, keepdims=0)
    nodes.add("Gather", _classes(nodes, estimator.classes_), chosen, axis=0, called=outputs[0])
    nodes.add("Identity", scores, called=outputs[1])


def _unlinked(nodes: Nodes, raw: str, estimator: Any) -> str:
    link = type(estimator._loss.link).__name__
    if link not in ("IdentityLink", "LogLink"):
        raise Unconvertible(f"boosting with a {link} is not converted")
    return nodes.add("Exp", raw) if link == "LogLink" else raw


def _classes(nodes: Nodes, classes: Array) -> str:
    if _numbered(classes):
        return nodes.integers(classes)
    return nodes.texts([str(each) for each in classes])


def _averaged(nodes: Nodes, rows: str, estimator: Any) -> str:
    """The mean of what the leaves hold, `(rows, numbers)`, added up in the order of the trees.

    A leaf of the operator holds one number: here its place in a table of what leaves hold.
    """
    trees = grown_in(estimator)
    width = trees[0].value.shape[1]
    if width == 1:
        summed = _ensemble(nodes, rows, [(t, t.value[:, 0], 0) for t in trees], 1)
    else:
        starts = np.cumsum([0, *(len(tree.left) for tree in trees)])
        places = [np.arange(len(tree.left)) + s for tree, s in zip(trees, starts, strict=False)]
        numbered = [(t, p, i) for i, (t, p) in enumerate(zip(trees, places, strict=True))]
        place = nodes.cast(_ensemble(nodes, rows, numbered, len(trees)), TensorProto.INT64)
        table = nodes.doubles(np.concatenate([tree.value for tree in trees]))
        held = nodes.add("Gather", table, place, axis=0)
        summed = nodes.add("ReduceSum", held, nodes.integers([1]), keepdims=0)
    return nodes.add("Div", summed, nodes.doubles(float(len(trees))))


def _boosted(nodes: Nodes, rows: str, estimator: Any) -> str:
    """What the trees of all stages add up to, `(rows, numbers)`."""
    trees = grown_in(estimator)
    width = int(estimator.n_trees_per_iteration_)
    rate = estimator.learning_rate if isinstance(estimator, GRADIENT) else 1.0
    held = [(tree, tree.value[:, 0] * rate, i % width) for i, tree in enumerate(trees)]
    return nodes.add("Add", _ensemble(nodes, rows, held, width), nodes.doubles(_start(estimator)))


def _start(estimator: Any) -> Array:
    """What boosting starts from, the same for every row."""
    if isinstance(estimator, HISTOGRAM):
        return np.reshape(estimator._baseline_prediction, (1, -1))
    if estimator.init_ != "zero" and not isinstance(
        estimator.init_, (DummyClassifier, DummyRegressor)
    ):
        raise Unconvertible("boosting that starts from another model (init) is not converted")
    blank = np.zeros((1, estimator.n_features_in_), np.float32)
    return np.asarray(estimator._raw_predict_init(blank), np.float64)


def _scored(nodes: Nodes, raw: str, estimator: Any) -> tuple[str, str]:
    """The place of the class, and the probabilities, of a boosted classifier."""
    if len(estimator.classes_) > 2:
        return nodes.add("ArgMax", raw, axis=1, keepdims=0), nodes.add("Softmax", raw, axis=1)
    above = "Greater" if isinstance(estimator, HISTOGRAM) else "GreaterOrEqual"
    flat = nodes.add("Reshape", raw, nodes.integers([-1]))
    chosen = nodes.cast(nodes.add(above, flat, nodes.doubles(0.0)), TensorProto.INT64)
    if isinstance(estimator, GradientBoostingClassifier) and estimator.loss == "exponential":
        raw = nodes.add("Mul", raw, nodes.doubles(2.0))
    second = nodes.add("Sigmoid", raw)
    first = nodes.add("Sub", nodes.doubles(1.0), second)
    return chosen, nodes.add("Concat", first, second, axis=1)


def _ensemble(
    nodes: Nodes, rows: str, held: Sequence[tuple[Tree, Array, int]], targets: int
) -> str:
    """One TreeEnsemble: for each tree what its leaves hold, and the column that adds it up."""
    parts = [_part(tree, target) for tree, _, target in held]
    splits = np.cumsum([0, *(len(part["features"]) for part in parts)])
    leaves = np.cumsum([0, *(len(part["leaves"]) for part in parts)])
    joined: dict[str, list[Any]] = {}
    for part, (_, weight, _), split, leaf in zip(parts, held, splits, leaves, strict=False):
        for side in ("true", "false"):
            is_leaf, child = part[f"{side}_is_leaf"], part[side]
            part[side] = np.where(is_leaf, child + leaf, child + split)
        part["weights"] = weight[part["leaves"]]
        for name, values in part.items():
            joined.setdefault(name, []).append(values)
    flat = {name: np.concatenate(values) for name, values in joined.items()}
    return nodes.add(
        "TreeEnsemble",
        rows,
        domain=TREES,
        n_targets=targets,
        aggregate_function=_SUM,
        post_transform=0,
        tree_roots=splits[:-1].tolist(),
        nodes_featureids=flat["features"].tolist(),
        nodes_splits=numpy_helper.from_array(flat["thresholds"].astype(np.float64), "splits"),
        nodes_modes=numpy_helper.from_array(np.zeros(len(flat["features"]), np.uint8), "modes"),
        nodes_truenodeids=flat["true"].tolist(),
        nodes_trueleafs=flat["true_is_leaf"].astype(int).tolist(),
        nodes_falsenodeids=flat["false"].tolist(),
        nodes_falseleafs=flat["false_is_leaf"].astype(int).tolist(),
        nodes_missing_value_tracks_true=flat["nan_left"].astype(int).tolist(),
        leaf_targetids=flat["targets"].tolist(),
        leaf_weights=numpy_helper.from_array(flat["weights"].astype(np.float64), "weights"),
    )


def _part(tree: Tree, target: int) -> dict[str, Array]:
    """One tree as the operator has it: splits and leaves numbered apart, the root a split."""
    is_leaf = tree.is_leaf
    leaves = np.flatnonzero(is_leaf)
    if is_leaf[0]:  # of one leaf: a split that leads to it either way
        zero, yes = np.zeros(1, np.int64), np.ones(1, bool)
        splits = {"features": zero, "thresholds": np.zeros(1), "nan_left": yes}
        ends = {"true": zero, "false": zero, "true_is_leaf": yes, "false_is_leaf": yes}
        return {**splits, **ends, "leaves": leaves, "targets": np.array([target])}
    at = np.flatnonzero(~is_leaf)
    number = np.where(is_leaf, np.cumsum(is_leaf), np.cumsum(~is_leaf)) - 1
    return {
        "features": tree.feature[at],
        "thresholds": tree.threshold[at],
        "nan_left": tree.nan_left[at],
        "true": number[tree.left[at]],
        "false": number[tree.right[at]],
        "true_is_leaf": is_leaf[tree.left[at]],
        "false_is_leaf": is_leaf[tree.right[at]],
        "leaves": leaves,
        "targets": np.full(len(leaves), target),
    }
