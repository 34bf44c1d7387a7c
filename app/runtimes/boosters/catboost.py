"""CatBoost's binary files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from app.errors import ModelInvalid
from app.runtimes.boosters import Booster, number
from app.tensors import Array, Prediction, TensorSpec


def read(library: Any, file: Path, threads: int) -> Booster:
    """See `Read`; the file has the classes themselves, and what is a category or a text."""
    booster = library.CatBoost()
    booster.load_model(str(file), format="cbm")
    if booster.get_embedding_feature_indices():
        raise ModelInvalid("features that are embeddings cannot be served")
    if len(booster.classes_) == 0:  # only its class for regression knows how to give the values
        booster = library.CatBoostRegressor()
        booster.load_model(str(file), format="cbm")
    outputs, asked = _outputs(booster)

    def predict(rows: Array, wanted: tuple[str, ...]) -> Prediction:
        found: Prediction = {}
        for spec in outputs:
            if spec.name in wanted:
                given = booster.predict(rows, thread_count=threads, **asked[spec.name])
                found[spec.name] = _shaped(np.asarray(given), spec)
        return found

    names: list[str] = booster.feature_names_
    return Booster(
        features=_features(booster, names),
        is_named=names != [str(i) for i in range(len(names))],
        outputs=outputs,
        predict=predict,
        aliases={} if len(outputs) > 1 else {"prediction": "variable"},
        classes=tuple(np.asarray(booster.classes_).tolist()),
    )


def _features(booster: Any, names: list[str]) -> tuple[TensorSpec, ...]:
    categories, texts = booster.get_cat_feature_indices(), booster.get_text_feature_indices()
    found = []
    for i, name in enumerate(names):
        if i in texts:
            found.append(TensorSpec(name, "string", (None,)))
        elif i in categories:  # hashed as texts, so that 1 and "1" are one
            rules = {"type": ["integer", "string"]}
            found.append(TensorSpec(name, "any", (None,), constraints=rules))
        else:
            found.append(number(name))
    return tuple(found)


def _outputs(booster: Any) -> tuple[tuple[TensorSpec, ...], dict[str, dict[str, str]]]:
    """The outputs, and what is asked of the library for each."""
    classes = np.asarray(booster.classes_)
    if not len(classes):
        shape = np.shape(booster.predict(_made_up(booster)))[1:]
        return (TensorSpec("variable", "float64", (None, *shape)),), {"variable": {}}
    kind = classes.dtype.name if classes.dtype.kind in "iufb" else "string"
    loss = str(booster.get_params().get("loss_function"))
    several = loss.startswith(("MultiLogloss", "MultiCrossEntropy"))
    label = TensorSpec("label", kind, (None, len(classes)) if several else (None,))
    scores = TensorSpec("probabilities", "float64", (None, len(classes)))
    asked = {"label": "Class", "probabilities": "Probability"}
    return (label, scores), {name: {"prediction_type": kind} for name, kind in asked.items()}


def _made_up(booster: Any) -> Array:
    """One row that any model takes."""
    texts = {*booster.get_cat_feature_indices(), *booster.get_text_feature_indices()}
    row = ["a" if i in texts else 0.0 for i in range(len(booster.feature_names_))]
    return np.array([row], object if texts else float)


def _shaped(found: Array, spec: TensorSpec) -> Array:
    """Classes of several come as a column, and as texts where they are texts."""
    if len(spec.shape) == 1:
        found = found.reshape(len(found))
    return found.astype(object if spec.dtype == "string" else spec.dtype, copy=False)
