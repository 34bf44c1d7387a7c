"""XGBoost's JSON and UBJSON files."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.runtimes.boosters import Booster, category, number
from app.runtimes.boosters.outcomes import Kind, Outcome
from app.tensors import Array, Prediction

_KINDS: Final[dict[str, Kind]] = {
    "binary:hinge": "labels",
    "binary:logistic": "binary",
    "multi:softmax": "labels",
    "multi:softprob": "classes",
}
"""Objective -> what its scores are; all others are values."""


def read(library: Any, file: Path, threads: int) -> Booster:
    """See `Read`; a model that stopped early predicts with its best trees, as in scikit-learn."""
    booster = library.Booster({"nthread": threads})
    booster.load_model(str(file))
    learner = json.loads(booster.save_config())["learner"]
    outcome = _outcome(learner)
    names = booster.feature_names or [f"f{i}" for i in range(booster.num_features())]
    categories = _categories(booster, names)
    score = _score(library, booster, learner)

    def predict(rows: Array, outputs: tuple[str, ...]) -> Prediction:
        return outcome.read(score(rows), outputs)

    return Booster(
        features=tuple(category(n, categories[n]) if n in categories else number(n) for n in names),
        is_named=booster.feature_names is not None,
        outputs=outcome.outputs,
        predict=predict,
        aliases=outcome.aliases,
        classes=outcome.classes,
        codes={name: {v: i for i, v in enumerate(values)} for name, values in categories.items()},
    )


def _outcome(learner: Any) -> Outcome:
    stated = learner["learner_model_param"]
    classes, targets = int(stated["num_class"]), int(stated["num_target"])
    kind = _KINDS.get(learner["objective"]["name"], "values")
    if kind == "binary" and targets > 1:
        kind = "several"
    return Outcome(kind, max(classes, targets, 1), "float32")


def _score(library: Any, booster: Any, learner: Any) -> Callable[[Array], Array]:
    best = booster.attr("best_iteration")
    trees = (0, 0 if best is None else int(best) + 1)
    if learner["gradient_booster"]["name"] == "gblinear":  # has no prediction in place

        def linear(rows: Array) -> Array:
            found: Array = booster.predict(library.DMatrix(rows), validate_features=False)
            return found

        return linear

    def score(rows: Array) -> Array:
        found: Array = booster.inplace_predict(
            rows, iteration_range=trees, missing=np.nan, validate_features=False
        )
        return found

    return score


def _categories(booster: Any, names: list[str]) -> dict[str, list[Any]]:
    """Those of pandas, which XGBoost keeps since 3.1; what has none is a number already."""
    if "c" not in (booster.feature_types or ()):
        return {}
    trees = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]
    known = trees.get("gbtree", trees)["model"].get("cats", {}).get("enc", [])
    found = {name: _values(stored) for name, stored in zip(names, known, strict=False)}
    return {name: values for name, values in found.items() if values}


def _values(stored: Any) -> list[Any]:
    """Numbers as they are; texts in the way of Arrow: the bytes of all, and where each begins."""
    values: list[Any] = stored["values"]
    if "offsets" not in stored:
        return values
    content, offsets = bytes(values), stored["offsets"]
    return [content[a:b].decode() for a, b in pairwise(offsets)]
