"""What is served in the bench: seeded models with their requests and known answers.

Everything is made once into `bench/.data`, which git ignores, and again when this module changes.
The folder `registry` in there is what aml-serve serves; the peers load the same files.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bench.model import load

HERE: Final = Path(__file__).parent
DATA: Final = HERE / ".data"
REGISTRY: Final = DATA / "registry"
CHURN: Final = HERE.parent / "sample_model" / "churn" / "2"
SEED: Final = 20
COLUMNS: Final = 30
CHECKS: Final = 5
"""Requests whose answers are compared before a server is timed; the first one is then timed."""

TITLES: Final = {
    "W1": "1 row x 30 floats, scikit-learn scaler + logistic regression (joblib)",
    "W2": "1 row x 30 floats, the same as ONNX",
    "W3": "256 rows x 30 floats, ONNX gradient boosting of 100 trees",
    "W4": "1 x 3 x 224 x 224 floats as JSON, small ONNX convolution net",
    "W4B": "the same tensor as V2 binary",
    "W5": "1 row of 20 named mixed columns (a frame), scikit-learn ColumnTransformer pipeline",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One request and its known answer."""

    rows: list[Any]
    expected: list[Any]


@dataclass(frozen=True, slots=True)
class Workload:
    """One model with requests to it."""

    name: str
    model: Path
    payload: Path
    checks: tuple[Check, ...]


def get(name: str) -> Workload:
    """The workload of that name, made before if it has to be. Blocking."""
    _make()
    served = name.removesuffix("B")
    payload = DATA / "payloads" / f"{served}.json"
    checks = json.loads(payload.read_bytes())["checks"]
    (model,) = (REGISTRY / served.lower() / "1").glob("model.*")
    return Workload(name, model, payload, tuple(Check(**check) for check in checks))


def _make() -> None:
    stamp = DATA / "stamp"
    made_with = [importlib.metadata.version(n) for n in ("scikit-learn", "skl2onnx", "onnx")]
    known = Path(__file__).read_bytes() + " ".join(made_with).encode()
    digest = hashlib.sha256(known).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        return
    shutil.rmtree(DATA, ignore_errors=True)
    (DATA / "payloads").mkdir(parents=True)
    (DATA / ".gitignore").write_text("*\n")
    generator = np.random.default_rng(SEED)
    tables = [np.round(generator.normal(size=(256, COLUMNS)), 6) for _ in range(CHECKS)]
    _linear()
    _boosted()
    _convolution(generator)
    shutil.copytree(CHURN, REGISTRY / "w5" / "1")
    images = [np.round(generator.random((1, 3, 224, 224)), 8) for _ in range(2)]
    _payload("W1", [table[:1].tolist() for table in tables])
    _payload("W2", [table[:1].tolist() for table in tables])
    _payload("W3", [table.tolist() for table in tables])
    _payload("W4", [image.tolist() for image in images])
    _payload("W5", _customers())
    stamp.write_text(digest)


def _payload(name: str, requests: list[list[Any]]) -> None:
    (model,) = (REGISTRY / name.lower() / "1").glob("model.*")
    predict = load(model)
    checks = [{"rows": rows, "expected": predict(rows).tolist()} for rows in requests]
    (DATA / "payloads" / f"{name}.json").write_text(json.dumps({"checks": checks}))


def _customers() -> list[list[Any]]:
    """Rows of the golden file without a null, which typed forms of some peers cannot say."""
    stated = json.loads((CHURN / "golden.json").read_bytes())
    batches = [case["request"]["data"] for case in stated if isinstance(case["results"], list)]
    rows = [row for rows in batches if isinstance(rows, list) for row in rows]
    whole = [row for row in rows if isinstance(row, dict) and None not in row.values()]
    return [[row] for row in whole[:CHECKS]]


def _folder(name: str, result: str) -> Path:
    folder = REGISTRY / name / "1"
    folder.mkdir(parents=True)
    (folder / "manifest.yaml").write_text(f"outputs: {result}\n")
    return folder


def _training() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    from sklearn.datasets import make_classification

    given, classes = make_classification(
        n_samples=2000, n_features=COLUMNS, n_informative=12, random_state=SEED
    )
    return given, classes


def _linear() -> None:
    import joblib
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(*_training())
    joblib.dump(estimator, _folder("w1", "probabilities") / "model.joblib")
    _convert(estimator, _folder("w2", "probabilities"))


def _boosted() -> None:
    from sklearn.ensemble import GradientBoostingClassifier

    estimator = GradientBoostingClassifier(n_estimators=100, random_state=SEED).fit(*_training())
    _convert(estimator, _folder("w3", "probabilities"))


def _convert(estimator: Any, folder: Path) -> None:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    kinds = [("input", FloatTensorType([None, COLUMNS]))]
    options = {id(estimator): {"zipmap": False}}
    found = to_onnx(estimator, initial_types=kinds, options=options)
    (folder / "model.onnx").write_bytes(found.SerializeToString())


def _convolution(generator: np.random.Generator) -> None:
    """Two convolutions, the mean of each channel, ten classes: about half a millisecond."""
    from onnx import TensorProto, checker, helper, numpy_helper

    def weights(name: str, *shape: int) -> Any:
        drawn = generator.normal(0, 0.2, shape).astype(np.float32)
        return numpy_helper.from_array(drawn, name)

    nodes = [
        helper.make_node("Conv", ["input", "w1", "b1"], ["c1"], strides=[3, 3]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w3", "b3"], ["scored"]),
        helper.make_node("Softmax", ["scored"], ["scores"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 224, 224])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 10])],
        [
            *(weights("w1", 16, 3, 7, 7), weights("b1", 16)),
            *(weights("w2", 32, 16, 3, 3), weights("b2", 32)),
            *(weights("w3", 32, 10), weights("b3", 10)),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    (_folder("w4", "scores") / "model.onnx").write_bytes(model.SerializeToString())
