"""Real models, small enough to make in milliseconds: ONNX graphs and fitted estimators."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper, numpy_helper
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from app import golden, manifest, runtimes
from app.schema import Schema
from app.schema.examples import records
from app.tensors import Array, Batch, Model, Prediction
from tests import boosters

Shape = Sequence[int | str | None] | None

ROWS = np.array([[0.0, 1.0], [1.0, 0.0], [0.2, 0.9], [0.9, 0.1]])
KINDS = np.array([0, 1, 0, 1])
TEXTS = ["my house is on fire", "my car was hit", "the roof of the house", "a car and its door"]
PEOPLE = pd.DataFrame(
    {
        "city": ["Bern", "Rome", "Bern", "Rome"],
        "age": [31, 45, 28, 60],
        "income": [1.5, 2.5, 3.5, 4.5],
        "is_member": [True, False, True, False],
    }
)


def value(name: str, kind: int = TensorProto.FLOAT, shape: Shape = ("N", 3)) -> Any:
    """A graph's input or output; `shape` None: of unknown rank."""
    return helper.make_tensor_value_info(name, kind, shape)


def save_onnx(
    folder: Path,
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    *,
    weights: Sequence[Any] = (),
    opset: int = 17,
    ir_version: int = 8,
) -> Path:
    """A graph as `folder`/model.onnx; gives `folder`."""
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(weights))
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)
    return save(folder, "model.onnx", model.SerializeToString())


def identity(folder: Path, kind: int = TensorProto.FLOAT, shape: Shape = ("N", 3)) -> Path:
    """x -> y = x, of any type and shape."""
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    ends = [value("x", kind, shape)], [value("y", kind, shape)]
    return save_onnx(folder, nodes, *ends, opset=21, ir_version=10)


def table(folder: Path, answer: float, size_bytes: int) -> Path:
    """x -> y = weights[x], all of them `answer`: large, and quick to make and to ask."""
    weights = numpy_helper.from_array(np.full((size_bytes // 4, 1), answer, np.float32), "weights")
    squeezed = helper.make_node("Squeeze", ["x", "axis"], ["row"])
    nodes = [squeezed, helper.make_node("Gather", ["weights", "row"], ["y"])]
    axis = numpy_helper.from_array(np.array([1]), "axis")
    ends = [value("x", TensorProto.INT64, ("N", 1))], [value("y", shape=("N", 1))]
    return save_onnx(folder, nodes, *ends, weights=[weights, axis])


def adder(folder: Path) -> Path:
    """a, b -> total = a + b, product = a * b."""
    nodes = [
        helper.make_node("Add", ["a", "b"], ["total"]),
        helper.make_node("Mul", ["a", "b"], ["product"]),
    ]
    return save_onnx(folder, nodes, [value("a"), value("b")], [value("total"), value("product")])


def row_mixer(folder: Path) -> Path:
    """x -> y = x - mean of x over the rows: a row's answer depends on the other rows."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    return save_onnx(folder, nodes, [value("x")], [value("y")])


def one_row_only(folder: Path) -> Path:
    """x -> y = x, raising when there are several rows."""
    nodes = [helper.make_node("Reshape", ["x", "size"], ["y"])]
    size = helper.make_tensor("size", TensorProto.INT64, [2], [1, 3])
    return save_onnx(folder, nodes, [value("x")], [value("y")], weights=[size])


def not_finite(folder: Path) -> Path:
    """x -> y = square root of (x - 100): NaN for all small x."""
    nodes = [
        helper.make_node("Sub", ["x", "hundred"], ["less"]),
        helper.make_node("Sqrt", ["less"], ["y"]),
    ]
    hundred = helper.make_tensor("hundred", TensorProto.FLOAT, [], [100.0])
    return save_onnx(folder, nodes, [value("x")], [value("y")], weights=[hundred])


def with_external_data(folder: Path, location: str, *, file: Path | None = None) -> Path:
    """x -> y = x + weights, the weights (1, 2, 3) in another file at `location`."""
    weights = np.array([1, 2, 3], np.float32)
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3])
    tensor.data_location = TensorProto.EXTERNAL
    for key, told in (("location", location), ("offset", "0"), ("length", str(weights.nbytes))):
        tensor.external_data.add(key=key, value=told)
    target = file or folder / location
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(weights.tobytes())
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    return save_onnx(folder, nodes, [value("x")], [value("y")], weights=[tensor])


def from_sklearn(folder: Path, estimator: Any, **options: Any) -> Path:
    """`estimator`, of two features, converted by skl2onnx."""
    from skl2onnx import to_onnx

    converted: onnx.ModelProto = to_onnx(estimator, ROWS[:1].astype(np.float32), options=options)
    return save(folder, "model.onnx", converted.SerializeToString())


def save(folder: Path, name: str, content: bytes) -> Path:
    """`folder` with one file more."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder


def save_sklearn(folder: Path, estimator: Any, schema: Any = None) -> Path:
    """`estimator` as `folder`/model.joblib, with a schema.json; gives `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(estimator, folder / "model.joblib")
    return folder if schema is None else save(folder, "schema.json", json.dumps(schema).encode())


def save_pyfunc(folder: Path) -> Path:
    """A sum of two columns, saved by mlflow."""
    from tests.mlflow_models import save_with_mlflow

    return save_with_mlflow(folder, "pyfunc_sum") / "pyfunc_sum"


def save_skops(folder: Path, estimator: Any) -> Path:
    """`estimator` as `folder`/model.skops."""
    import skops.io

    content: bytes = skops.io.dumps(estimator)
    return save(folder, "model.skops", content)


def classifier(kinds: Any = KINDS) -> Any:
    """Of rows of two numbers."""
    return LogisticRegression().fit(ROWS, kinds)


def regressor() -> Any:
    """Of rows of two numbers."""
    return LinearRegression().fit(ROWS, ROWS.sum(axis=1))


def several_classifier() -> Any:
    """Of rows of two numbers; two answers per row, the second of three classes."""
    kinds = np.column_stack([KINDS, [0, 1, 2, 1]])
    return MultiOutputClassifier(DecisionTreeClassifier(random_state=0)).fit(ROWS, kinds)


def text_classifier() -> Any:
    """Of one text per record."""
    return make_pipeline(CountVectorizer(), LogisticRegression()).fit(TEXTS, ["home", "car"] * 2)


def frame_classifier() -> Any:
    """Of frames with the columns city (a text), age and income (numbers)."""
    columns = ColumnTransformer(
        [
            ("text", OneHotEncoder(handle_unknown="ignore"), ["city"]),
            ("number", StandardScaler(), ["age", "income"]),
        ]
    )
    frame = PEOPLE[["age", "city", "income"]]
    return Pipeline([("columns", columns), ("model", LogisticRegression())]).fit(frame, KINDS)


CONTRACT_MODELS: dict[str, Callable[[Path], Path]] = {
    "onnx identity": identity,
    "onnx bfloat16": lambda folder: identity(folder, TensorProto.BFLOAT16),
    "onnx two inputs and outputs": adder,
    "onnx classifier with ZipMap": lambda folder: from_sklearn(folder, classifier()),
    "onnx classifier": lambda folder: from_sklearn(folder, classifier(), zipmap=False),
    "sklearn classifier": lambda folder: save_sklearn(folder, classifier()),
    "sklearn classes of text": lambda folder: save_sklearn(folder, classifier(list("abab"))),
    "sklearn regressor": lambda folder: save_sklearn(folder, regressor()),
    "sklearn two answers": lambda folder: save_sklearn(folder, several_classifier()),
    "sklearn text": lambda folder: save_sklearn(folder, text_classifier()),
    "sklearn frame": lambda folder: save_sklearn(folder, frame_classifier()),
    "skops classifier": lambda folder: save_skops(folder, classifier()),
    "skops frame": lambda folder: save_skops(folder, frame_classifier()),
    "pyfunc": save_pyfunc,
    "lightgbm": lambda folder: boosters.save(
        folder, "model.txt", boosters.lightgbm("binary", boosters.MIXED)
    ),
    "xgboost": lambda folder: boosters.save(folder, "model.ubj", boosters.xgboost("classes")),
    "catboost": lambda folder: boosters.save(folder, "model.cbm", boosters.catboost("values")),
}
"""What it is -> what saves it into a folder; each runtime of the table at least once."""


def load(folder: Path, threads: int = 1) -> Model:
    """The model in `folder`, as the pool loads it."""
    return runtimes.load(manifest.read(folder), threads)


def served(folder: Path, estimator: Any, schema: Any = None) -> Model:
    """`estimator`, saved, loaded, and through the check at load."""
    model = load(save_sklearn(folder, estimator, schema))
    golden.check(model, Schema(model.signature), None)
    return model


def batch_of(model: Model, data: Any = None, rows: int = 3) -> Batch:
    """`data` decoded, or as many made-up rows."""
    schema = Schema(model.signature)
    return schema.decode(records(model.signature, rows) if data is None else data)[0]


def predict(model: Model, data: Any, *outputs: str) -> Prediction:
    """By the names of `outputs`; all of them when none is named."""
    names = outputs or tuple(spec.name for spec in model.signature.outputs)
    return model.predict(batch_of(model, data), model.signature.canonical(names))


def result(folder: Path, data: Any) -> Array:
    """What the model in `folder` answers first."""
    model = load(folder)
    (found,) = predict(model, data, model.signature.result).values()
    return np.asarray(found)


def write_times(folder: Path, factor: int) -> None:
    """A model whose answers tell its version: it multiplies by `factor`, which is its number."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 1]) for n in ("x", "y"))
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1], np.array([factor], np.float32))
    node = helper.make_node("Mul", ["x", "w"], ["y"])
    folder.mkdir(parents=True)
    save_onnx(folder, [node], [x], [y], weights=[weight])
