"""Real estimators through a whole conversion: equal ones are served by ONNX, others say why not."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
)
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, PoissonRegressor
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    QuantileTransformer,
    StandardScaler,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from app import manifest, runtimes
from app.runtimes.convert import GRAPH, Report, ensembles, trees, trial
from app.runtimes.convert.__main__ import Job, convert, of_graph
from app.runtimes.convert.domain import Domain
from app.runtimes.convert.form import Accelerated, Form
from app.runtimes.convert.trees import Tree, Unconvertible
from app.tensors import Model
from tests import models

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3))
Y = (X[:, 0] * X[:, 1] > 0).astype(int) + (X[:, 2] > 1)
TWO = np.minimum(Y, 1)
Z = X[:, 0] * 2 + np.sin(X[:, 1])
GAPS = np.where(RNG.random(X.shape) < 0.1, np.nan, X)
PEOPLE = pd.concat([models.PEOPLE] * 20, ignore_index=True)
PEOPLE["age"] += np.arange(80) % 7
PEOPLE["income"] += RNG.normal(size=80)
RICH = (PEOPLE["income"] > 3).to_numpy().astype(int)


def framed(text: Any, number: Any, model: Any) -> Any:
    """Of the columns city and age, income."""
    columns = ColumnTransformer([("t", text, ["city"]), ("n", number, ["age", "income"])])
    return make_pipeline(columns, model).fit(PEOPLE[["age", "city", "income"]], RICH)


def ignoring() -> Any:
    return OneHotEncoder(handle_unknown="ignore")


EQUAL: dict[str, Any] = {
    "linear": lambda: LogisticRegression().fit(X, Y),
    "linear of 32 bits": lambda: LogisticRegression().fit(X.astype(np.float32), TWO),
    "classes of text": lambda: LogisticRegression().fit(X, np.array(list("abc"))[Y]),
    "regression": lambda: PoissonRegressor().fit(X, np.abs(Z)),
    "scaled": lambda: make_pipeline(StandardScaler(), GaussianNB()).fit(X, Y),
    "network": lambda: MLPRegressor(hidden_layer_sizes=(4,), max_iter=400, tol=1).fit(X, Z),
    "tree": lambda: DecisionTreeClassifier().fit(X, Y),
    "tree of gaps": lambda: DecisionTreeClassifier().fit(GAPS, Y),
    "tree of one leaf": lambda: DecisionTreeRegressor().fit(X, Z * 0),
    "tree of two numbers": lambda: DecisionTreeRegressor().fit(X, np.column_stack([Z, -Z])),
    "boolean classes": lambda: DecisionTreeClassifier().fit(X, TWO.astype(bool)),
    "forest": lambda: RandomForestClassifier(10).fit(X, Y),
    "forest of extra trees": lambda: ExtraTreesClassifier(5).fit(X, TWO),
    "forest of numbers": lambda: RandomForestRegressor(5).fit(X, Z),
    "bags": lambda: BaggingClassifier(n_estimators=3, max_features=2).fit(X, Y),
    "stack": lambda: StackingClassifier(
        [("a", DecisionTreeClassifier()), ("b", LogisticRegression())], cv=2
    ).fit(X, Y),
    "boosted classes": lambda: GradientBoostingClassifier(n_estimators=5).fit(X, Y),
    "boosted, exponential": lambda: GradientBoostingClassifier(
        n_estimators=5, loss="exponential"
    ).fit(X, TWO),
    "boosted numbers": lambda: GradientBoostingRegressor(n_estimators=5).fit(X, Z),
    "histograms": lambda: HistGradientBoostingClassifier(max_iter=5).fit(GAPS, Y),
    "histograms of two": lambda: HistGradientBoostingClassifier(max_iter=5).fit(X, TWO),
    "histograms of counts": lambda: HistGradientBoostingRegressor(max_iter=5, loss="poisson").fit(
        X, np.abs(Z)
    ),
    "bins": lambda: make_pipeline(KBinsDiscretizer(4, quantile_method="linear"), BernoulliNB()).fit(
        X, Y
    ),
    "bins in order": lambda: make_pipeline(
        KBinsDiscretizer(4, encode="ordinal", strategy="uniform"), DecisionTreeClassifier()
    ).fit(X, Y),
    "frame": lambda: framed(ignoring(), StandardScaler(), LogisticRegression()),
    "frame with gaps filled": lambda: framed(
        ignoring(), make_pipeline(SimpleImputer(), StandardScaler()), DecisionTreeClassifier()
    ),
    "frame of ranks": lambda: framed(
        ignoring(), QuantileTransformer(n_quantiles=9), RandomForestClassifier(3)
    ),
    "frame that refuses": lambda: framed(OneHotEncoder(), "passthrough", LogisticRegression()),
    "frame, one dropped": lambda: framed(
        OneHotEncoder(drop="first"), "passthrough", LogisticRegression()
    ),
    "frame of codes": lambda: framed(
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
        "passthrough",
        RandomForestClassifier(3),
    ),
    "numbers as categories": lambda: make_pipeline(
        ColumnTransformer([("a", ignoring(), ["age"]), ("b", ignoring(), ["is_member"])]),
        LogisticRegression(),
    ).fit(PEOPLE[["age", "is_member"]], RICH),
    "text": models.text_classifier,
}

DIFFERENT: dict[str, tuple[Any, str]] = {
    "other probabilities": (
        lambda: LinearDiscriminantAnalysis().fit(X, TWO),
        r"it differs: made-up rows, row 0: probabilities: ONNX gives \[.* scikit-learn \[",
    ),
    "a class in 32 bits": (
        lambda: SVC().fit(X, Y),
        r"it differs: boundary rows, row \d+: label: ONNX gives \d, scikit-learn \d",
    ),
    "no converter": (
        lambda: make_pipeline(HashingVectorizer(n_features=8), LogisticRegression()).fit(
            models.TEXTS, models.KINDS
        ),
        "skl2onnx: MissingShapeCalculator: .*HashingVectorizer",
    ),
    "two answers": (models.several_classifier, "several answers for a row are not converted"),
    "a column more": (
        lambda: framed(ignoring(), SimpleImputer(add_indicator=True), DecisionTreeClassifier()),
        r"an imputer that adds columns \(add_indicator\) is not converted",
    ),
    "boosting of another": (
        lambda: GradientBoostingRegressor(n_estimators=2, init=DecisionTreeRegressor()).fit(X, Z),
        r"boosting that starts from another model \(init\) is not converted",
    ),
    "categories in trees": (
        lambda: HistGradientBoostingClassifier(max_iter=2, categorical_features=[0]).fit(
            np.abs(X).round(), TWO
        ),
        "a tree splits on categories, which is not converted",
    ),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(trial, "_TIMED_S", 0.01)
    monkeypatch.setattr(trial, "MADE_UP", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of skl2onnx; a process of its own hides them
        yield


def converted(folder: Path, estimator: Any, schema: Any = None) -> tuple[Report, Model, Any]:
    """The report, the model by scikit-learn, and as it would be served."""
    (folder / "made").mkdir(parents=True)
    models.save_sklearn(folder / "model", estimator, schema)
    job = Job(str(folder / "model"), str(folder / "made"), "", 1e-6, 60, 1 << 40)
    try:
        report = convert(job)
    except Unconvertible as error:
        report = Report(reason=str(error))
    reference = runtimes.load(manifest.read(folder / "model"), 1)
    if not report.domain:
        return report, reference, None
    form = Form(runtimes.load(of_graph(folder / "made" / GRAPH), 1), reference.signature)
    return report, reference, Accelerated(reference, form, Domain.read(report.domain))


@pytest.mark.parametrize("make", EQUAL.values(), ids=EQUAL)
def test_an_estimator_that_converts_exactly_is_served_by_onnx(tmp_path: Path, make: Any) -> None:
    report, reference, served = converted(tmp_path, make())

    assert report.reason in ("", f"the ONNX form is not faster ({report.gain:.1f} times)")
    assert report.rows["made-up"] == 1000
    assert report.largest < 1e-7
    assert served.signature == reference.signature
    batch = models.batch_of(reference)
    for spec in reference.signature.outputs:
        (got,), (wanted,) = (m.predict(batch, (spec.name,)).values() for m in (served, reference))
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        if got.dtype.kind == "f":
            assert np.allclose(got, wanted, rtol=1e-6, atol=1e-6, equal_nan=True)
        else:
            assert got.tolist() == wanted.tolist()


@pytest.mark.parametrize(("make", "reason"), DIFFERENT.values(), ids=DIFFERENT)
def test_an_estimator_that_differs_is_refused_with_the_reason(
    tmp_path: Path, make: Any, reason: str
) -> None:
    report, _, _ = converted(tmp_path, make())

    assert re.match(reason, report.reason)
    assert report.told() == f"no: {report.reason}"


def test_a_threshold_is_met_exactly_from_both_sides(tmp_path: Path) -> None:
    tree = DecisionTreeClassifier().fit([[0.1], [0.3]], [0, 1])
    report, reference, served = converted(tmp_path, make_pipeline(StandardScaler(), tree).fit(
        [[0.1], [0.3], [0.7]], [0, 1, 0]
    ))  # fmt: skip

    assert report.rows["threshold"] == 2 * 6
    edges = [np.nextafter(np.float32(0.2), side) for side in (0, 1)]
    rows = [[float(edge)] for edge in edges]
    for name in ("label", "probabilities"):
        got, wanted = (models.predict(m, rows, name)[name].tolist() for m in (served, reference))
        assert got == wanted


@pytest.mark.parametrize("before", ["nothing", "scaler"])
@pytest.mark.parametrize("kind", [DecisionTreeClassifier, RandomForestClassifier])
def test_thresholds_that_are_off_by_one_step_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, before: str
) -> None:
    def shifted(estimator: Any) -> list[Tree]:
        def above(values: Any) -> Any:
            return np.nextafter(values.astype(np.float32), np.float32(np.inf)).astype(np.float64)

        return [replace(t, threshold=above(t.threshold)) for t in trees.grown_in(estimator)]

    monkeypatch.setattr(ensembles, "grown_in", shifted)
    steps = [StandardScaler()] if before == "scaler" else []
    report, _, _ = converted(tmp_path, make_pipeline(*steps, kind(random_state=0)).fit(X, Y))

    assert report.reason.startswith("it differs: threshold rows, row ")


def test_what_scikit_learn_refuses_is_refused_still(tmp_path: Path) -> None:
    estimator = framed(OneHotEncoder(), StandardScaler(), LogisticRegression())
    report, _, served = converted(tmp_path, estimator)
    fine = {"age": 40.0, "city": "Bern", "income": 2.0}

    assert "nulls in age, income and unseen texts in city are left" in report.told()
    assert models.predict(served, [fine])["label"].tolist() == [0]
    for odd in ({"city": "Oslo"}, {"city": None}, {"age": None}):
        with pytest.raises(ValueError):  # whatever scikit-learn says
            models.predict(served, [{**fine, **odd}])


def test_numbers_too_large_for_a_tree_are_refused_still(tmp_path: Path) -> None:
    _, _, served = converted(tmp_path, DecisionTreeClassifier().fit(X, Y))

    assert models.predict(served, [[3e38, 0.0, 0.0]])["label"].shape == (1,)
    with pytest.raises(ValueError, match="too large"):
        models.predict(served, [[1e39, 0.0, 0.0]])


def test_the_golden_rows_are_compared(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    golden = b'[{"request": {"data": [[1, 2, 3], [4, 5, 6]]}, "results": [0, 0]}]'
    models.save(folder, "golden.json", golden)
    report, _, _ = converted(tmp_path, DecisionTreeClassifier().fit(X, Y))

    assert report.rows["golden"] == 2


def test_the_columns_that_a_schema_names_are_taken_by_the_form(tmp_path: Path) -> None:
    properties = {name: {"type": "number"} for name in ("c", "a", "b")}
    schema = {"type": "object", "properties": properties}
    _, reference, served = converted(tmp_path, LogisticRegression().fit(X, Y), schema)
    rows = [{"a": 1.0, "b": -2.0, "c": 0.5}]

    got, wanted = (models.predict(m, rows)["probabilities"] for m in (served, reference))
    assert np.allclose(got, wanted, rtol=1e-12)


def test_columns_of_unknown_types_are_refused_by_name(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": X[:, 0], "kind": pd.Categorical(["a", "b"] * 60)})
    estimator = HistGradientBoostingClassifier(max_iter=2).fit(frame, TWO)
    report, _, _ = converted(tmp_path, estimator)

    assert report.reason.startswith('the type of "kind" (any) has no ONNX form; a schema.json')
