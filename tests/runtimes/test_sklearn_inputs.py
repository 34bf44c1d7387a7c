"""What scikit-learn estimators take: frames, arrays and texts, and how that is found out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier

from app.errors import ModelInvalid
from tests import models
from tests.models import KINDS, PEOPLE, ROWS, TEXTS

TREE = DecisionTreeClassifier(random_state=0)


def test_a_frame_model_takes_columns_with_types_and_examples_from_its_transformers(
    tmp_path: Path,
) -> None:
    model = models.served(tmp_path, models.frame_classifier())
    inputs = {spec.name: spec for spec in model.signature.inputs}

    assert {name: spec.dtype for name, spec in inputs.items()} == {
        "age": "float64",
        "city": "string",
        "income": "float64",
    }
    assert inputs["city"].examples == ("Bern", "Rome")
    assert models.predict(model, PEOPLE.to_dict("records"))["label"].tolist() == [0, 1, 0, 1]


# transformer -> the type and the examples of its column (of the values a, b or 1, 2)
COLUMNS: dict[str, tuple[Any, str, str, tuple[Any, ...]]] = {
    "one-hot of text": (OneHotEncoder(), "city", "string", ("Bern", "Rome")),
    "one-hot of booleans": (OneHotEncoder(), "is_member", "bool", (False, True)),
    "ordinal of integers": (OrdinalEncoder(), "age", "float64", (28, 31, 45, 60)),
    "scaler": (StandardScaler(), "income", "float64", ()),
    "bins": (KBinsDiscretizer(2, quantile_method="linear"), "income", "float64", ()),
    "pipeline": (make_pipeline(OneHotEncoder()), "city", "string", ("Bern", "Rome")),
    "untouched": ("passthrough", "income", "float64", ()),
    "function": (FunctionTransformer(np.log1p), "income", "any", ()),
    "text": (TfidfVectorizer(), "city", "string", ()),
}


@pytest.mark.parametrize(
    ("transformer", "name", "dtype", "examples"), COLUMNS.values(), ids=COLUMNS
)
def test_the_type_of_a_column_is_that_of_its_transformer(
    tmp_path: Path, transformer: Any, name: str, dtype: str, examples: tuple[Any, ...]
) -> None:
    chosen = name if isinstance(transformer, TfidfVectorizer) else [name]
    columns = ColumnTransformer([("it", transformer, chosen)])
    estimator = make_pipeline(columns, DecisionTreeClassifier(random_state=0))
    model = models.served(tmp_path, estimator.fit(PEOPLE[[name]], KINDS))
    (spec,) = model.signature.inputs

    assert (spec.name, spec.dtype, spec.examples) == (name, dtype, examples)
    assert model.signature.guessed == ((name,) if dtype == "any" else ())
    assert models.predict(model, PEOPLE[[name]].to_dict("records"))["label"].tolist() == [
        *estimator.predict(PEOPLE[[name]])
    ]


@pytest.mark.parametrize(
    "chosen", [[0, 1], slice(0, 2), slice("age", "income"), [True, True, False], ["age", "income"]]
)
def test_columns_chosen_in_any_way_are_found(tmp_path: Path, chosen: Any) -> None:
    columns = ColumnTransformer(
        [("number", StandardScaler(), chosen), ("text", OneHotEncoder(), ["city"])]
    )
    frame = PEOPLE[["age", "income", "city"]]
    model = models.served(tmp_path, make_pipeline(columns, TREE).fit(frame, KINDS))

    assert [s.dtype for s in model.signature.inputs] == ["float64", "float64", "string"]


def test_a_column_seen_twice_has_the_type_that_is_known(tmp_path: Path) -> None:
    columns = ColumnTransformer(
        [("city", OneHotEncoder(), ["city"]), ("size", FunctionTransformer(_lengths), ["city"])]
    )
    model = models.served(tmp_path, make_pipeline(columns, TREE).fit(PEOPLE[["city"]], KINDS))

    assert model.signature.inputs[0].dtype == "string"


def _lengths(frame: pd.DataFrame) -> Any:
    return frame.map(len).to_numpy()


@pytest.mark.parametrize("is_declared", [True, False])
def test_a_boosted_model_takes_the_categories_of_a_frame_as_text(
    tmp_path: Path, is_declared: bool
) -> None:
    frame = pd.DataFrame({"age": np.arange(40.0), "city": pd.Categorical(["Rome", "Bern"] * 20)})
    estimator = HistGradientBoostingClassifier(max_iter=2).fit(frame, [0, 1] * 20)
    properties = {"city": {"type": "string"}, "age": {"type": "number"}}
    schema = {"type": "object", "properties": properties} if is_declared else None
    model = models.load(models.save_sklearn(tmp_path, estimator, schema))

    records = [{"age": 3, "city": "Rome"}, {"age": 3, "city": "Bern"}, {"age": 3, "city": "Oslo"}]
    assert models.predict(model, records)["label"].tolist()[:2] == [0, 1]
    assert model.signature.guessed == (() if is_declared else ("city",))


def test_a_frame_without_a_column_transformer_is_rebuilt_with_its_names(tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=["b", "a"])
    estimator = LogisticRegression().fit(frame, KINDS)
    model = models.served(tmp_path, estimator)

    assert [(s.name, s.dtype) for s in model.signature.inputs] == [
        ("b", "float64"),
        ("a", "float64"),
    ]
    assert np.array_equal(
        models.predict(model, [{"a": 1, "b": 0}])["probabilities"],
        estimator.predict_proba(frame.iloc[:1]),
    )


class Describer:
    """Tells what frame it was given."""

    feature_names_in_ = np.array(["b", "i", "f", "s", "when", "free", "mixed"], dtype=object)

    def predict(self, frame: pd.DataFrame) -> Any:
        told = [f"{name}: {dtype}" for name, dtype in frame.dtypes.items()]
        return np.array([told] * len(frame), dtype=object)


DESCRIBED = {
    "i": {"type": "integer"},
    "extra": {"type": "integer"},
    "s": {"type": "string"},
    "when": {"type": "string", "format": "date-time"},
    "mixed": {},
    "free": {},
    "b": {"type": "boolean"},
    "f": {"type": ["number", "null"]},
}


def test_a_frame_has_the_order_of_training_and_the_types_of_the_schema(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": DESCRIBED}
    model = models.load(models.save_sklearn(tmp_path, Describer(), schema))
    record = {"i": 1, "s": "x", "when": "2024-02-29T12:00:00Z", "b": True, "f": None, "extra": 1}
    records = [{**record, "mixed": 1, "free": 2}, {**record, "mixed": "a", "free": None}]

    (told, _) = models.predict(model, records)["label"].tolist()

    assert [*map(str, told)] == [
        "b: bool",
        "i: int64",
        "f: float64",
        "s: str" if pd.__version__ >= "3" else "s: object",
        "when: datetime64[us]",
        "free: float64",
        "mixed: object",
    ]


@pytest.mark.parametrize("vectorizer", [TfidfVectorizer(), HashingVectorizer(n_features=8)])
def test_a_text_model_takes_one_text_per_record(tmp_path: Path, vectorizer: Any) -> None:
    estimator = make_pipeline(vectorizer, LogisticRegression()).fit(TEXTS, ["home", "car"] * 2)
    model = models.served(tmp_path, estimator)

    assert [(s.name, s.dtype, s.shape) for s in model.signature.inputs] == [
        ("text", "string", (None,))
    ]
    assert models.predict(model, TEXTS)["label"].tolist() == estimator.predict(TEXTS).tolist()
    assert (
        models.predict(model, TEXTS[0])["label"].tolist() == estimator.predict(TEXTS[:1]).tolist()
    )


def test_a_search_over_text_models_takes_text(tmp_path: Path) -> None:
    grid = GridSearchCV(models.text_classifier(), {"logisticregression__C": [1, 2]}, cv=2)
    model = models.served(tmp_path, grid.fit(TEXTS, KINDS))

    assert model.signature.inputs[0].dtype == "string"


def test_a_model_that_does_not_tell_what_it_takes_needs_a_schema(tmp_path: Path) -> None:
    union = FeatureUnion(
        [("words", TfidfVectorizer()), ("hashes", HashingVectorizer(n_features=8))]
    )
    estimator = make_pipeline(union, LogisticRegression()).fit(TEXTS, KINDS)

    with pytest.raises(ModelInvalid, match=r"what a Pipeline takes .* add a schema\.json"):
        models.served(tmp_path, estimator)
    model = models.served(tmp_path, estimator, {"type": "string", "examples": TEXTS[:1]})
    assert models.predict(model, TEXTS)["label"].tolist() == estimator.predict(TEXTS).tolist()


def test_a_schema_names_the_columns_of_an_array_model(tmp_path: Path) -> None:
    names, estimator = ["b", "a"], models.classifier()
    schema = {"type": "object", "properties": {name: {"type": "number"} for name in names}}
    model = models.served(tmp_path, estimator, schema)
    records = [dict(zip(names, row, strict=True)) for row in ROWS.tolist()]

    assert [spec.name for spec in model.signature.inputs] == names
    assert np.array_equal(
        models.predict(model, records)["probabilities"], estimator.predict_proba(ROWS)
    )


@pytest.mark.parametrize("kind", ["number", "integer"])
def test_an_array_model_of_one_feature_takes_a_named_column(tmp_path: Path, kind: str) -> None:
    estimator = LogisticRegression().fit(ROWS[:, :1], KINDS)
    schema = {"type": "object", "properties": {"age": {"type": kind}}}
    model = models.served(tmp_path, estimator, schema)

    assert models.predict(model, [{"age": 0}, {"age": 1}])["label"].tolist() == [0, 1]


def test_an_array_model_of_text_takes_rows_of_text(tmp_path: Path) -> None:
    rows = np.array([["a", "x"], ["b", "y"], ["a", "y"], ["b", "x"]], dtype=object)
    estimator = Pipeline([("code", OneHotEncoder()), ("model", LogisticRegression())])
    model = models.served(tmp_path, estimator.fit(rows, KINDS))

    assert model.signature.guessed == ("input",)
    assert models.predict(model, rows.tolist())["label"].tolist() == [0, 1, 0, 1]


def test_a_column_that_is_not_in_the_schema_is_named(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}

    with pytest.raises(ModelInvalid, match='no property "age", which the model takes'):
        models.served(tmp_path, models.frame_classifier(), schema)


def test_a_manifest_names_the_classes_and_the_result(tmp_path: Path) -> None:
    folder = models.save_sklearn(tmp_path, models.classifier())
    models.save(folder, "manifest.yaml", b"classes: [home, car]\noutputs: probabilities\n")

    assert models.load(folder).signature.classes == ("home", "car")
    assert models.result(folder, ROWS.tolist()).shape == (4, 2)


def test_a_manifest_that_names_no_output_of_the_model_is_refused(tmp_path: Path) -> None:
    models.save_sklearn(tmp_path, models.classifier())
    models.save(tmp_path, "manifest.yaml", b"outputs: labels\n")

    with pytest.raises(ModelInvalid, match="no output 'labels'; it has label, probabilities"):
        models.load(tmp_path)


def test_nothing_is_warned_of_when_a_model_is_served_as_it_was_trained(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        models.served(tmp_path, models.frame_classifier())

    assert caplog.messages == []
