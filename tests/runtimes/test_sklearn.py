"""What scikit-learn estimators of all kinds give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import IsolationForest, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import ClassifierChain, MultiOutputRegressor
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    StandardScaler,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from tests import models
from tests.models import KINDS, ROWS

TWO_SUMS = np.column_stack([ROWS.sum(axis=1), ROWS[:, 0]])
TWO_KINDS = np.column_stack([KINDS, 1 - KINDS])


@pytest.mark.parametrize(
    ("classes", "dtype"),
    [
        ([3, 7, 3, 7], "int64"),
        (["a", "b", "a", "b"], "string"),
        (np.array(["a", "b", "a", "b"], object), "string"),
        ([True, False, True, False], "bool"),
        ([-1.0, 2.0, -1.0, 2.0], "float64"),
        (np.array([3, 7, 3, 7], np.int32), "int32"),
    ],
)
def test_a_classifier_gives_its_classes_as_they_are(
    tmp_path: Path, classes: Any, dtype: str
) -> None:
    estimator = DecisionTreeClassifier(random_state=0).fit(ROWS, classes)
    model = models.served(tmp_path, estimator)
    found = models.predict(model, ROWS.tolist())

    assert model.signature.result == "label"
    assert model.signature.classes == tuple(sorted(set(np.asarray(classes).tolist())))
    assert model.signature.outputs[0].dtype == dtype
    assert found["label"].tolist() == list(classes)
    assert found["probabilities"].tolist() == estimator.predict_proba(ROWS).tolist()


# the estimator, and each output's name, type and sizes beside the rows
ESTIMATORS: dict[str, tuple[Any, dict[str, tuple[str, tuple[int, ...]]]]] = {
    "no probabilities": (SVC().fit(ROWS, KINDS), {"label": ("int64", ())}),
    "regressor": (models.regressor(), {"variable": ("float64", ())}),
    "regressor of a column": (
        LinearRegression().fit(ROWS, TWO_SUMS[:, :1]),
        {"variable": ("float64", (1,))},
    ),
    "regressor of two": (LinearRegression().fit(ROWS, TWO_SUMS), {"variable": ("float64", (2,))}),
    "forest of two": (
        RandomForestRegressor(n_estimators=2).fit(ROWS, TWO_SUMS),
        {"variable": ("float64", (2,))},
    ),
    "regressors of two": (
        MultiOutputRegressor(Ridge()).fit(ROWS, TWO_SUMS),
        {"variable": ("float64", (2,))},
    ),
    "target transformed": (
        TransformedTargetRegressor(Ridge(), transformer=StandardScaler()).fit(ROWS, ROWS[:, 0]),
        {"variable": ("float64", ())},
    ),
    "two classifiers": (
        models.several_classifier(),
        {
            "label": ("int64", (2,)),
            "probabilities_0": ("float64", (2,)),
            "probabilities_1": ("float64", (3,)),
        },
    ),
    "tree of two": (
        DecisionTreeClassifier(random_state=0).fit(ROWS, TWO_KINDS),
        {
            "label": ("int64", (2,)),
            "probabilities_0": ("float64", (2,)),
            "probabilities_1": ("float64", (2,)),
        },
    ),
    "chain": (
        ClassifierChain(LogisticRegression()).fit(ROWS, TWO_KINDS),
        {"label": ("float64", (2,)), "probabilities": ("float64", (2,))},
    ),
    "clusterer": (
        KMeans(2, n_init=1, random_state=0).fit(ROWS),
        {"label": ("int32", ())},
    ),
    "outlier detector": (IsolationForest(n_estimators=2).fit(ROWS), {"label": ("int64", ())}),
    "novelty detector": (
        LocalOutlierFactor(2, novelty=True).fit(ROWS),
        {"label": ("int64", ())},
    ),
    "search": (
        GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=2).fit(ROWS, KINDS),
        {"label": ("int64", ()), "probabilities": ("float64", (2,))},
    ),
    "calibrated": (
        CalibratedClassifierCV(SVC(), cv=2, ensemble=False).fit(ROWS, KINDS),
        {"label": ("int64", ()), "probabilities": ("float64", (2,))},
    ),
    "pipeline": (
        make_pipeline(StandardScaler(), KNeighborsClassifier(1)).fit(ROWS, list("abab")),
        {"label": ("string", ()), "probabilities": ("float64", (2,))},
    ),
}


@pytest.mark.parametrize(("estimator", "outputs"), ESTIMATORS.values(), ids=ESTIMATORS)
def test_an_estimator_gives_what_its_signature_says(
    tmp_path: Path, estimator: Any, outputs: dict[str, tuple[str, tuple[int, ...]]]
) -> None:
    model = models.served(tmp_path, estimator)
    found = models.predict(model, ROWS.tolist())
    told = {s.name: (s.dtype, s.shape[1:]) for s in model.signature.outputs}
    first = model.signature.result

    assert told == outputs
    assert {name: output.shape for name, output in found.items()} == {
        name: (4, *sizes) for name, (_, sizes) in outputs.items()
    }
    assert found[first].tolist() == np.asarray(estimator.predict(ROWS)).tolist()
    assert first == next(iter(outputs))


def test_a_class_that_only_looks_like_an_estimator_is_served(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}
    model = models.served(tmp_path, Doubler(), schema)

    assert models.predict(model, [{"a": 1.5, "b": 2}])["label"].tolist() == [[3, 4]]


class Doubler:
    """Of frames; has no idea of scikit-learn."""

    def predict(self, frame: pd.DataFrame) -> Any:
        assert isinstance(frame, pd.DataFrame)
        return frame.to_numpy() * 2
