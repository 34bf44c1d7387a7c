"""The model of a workload, as the code of every peer calls it: the same file, one thread.

Imported in the environments of the peers; it imports only what its model needs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Predict = Callable[[Any], NDArray[Any]]
"""Rows -> probabilities `(rows, classes)`, or labels `(rows,)` of a model that takes a frame."""


def named() -> Path:
    """The model file that the bench told this process of."""
    return Path(os.environ["BENCH_MODEL"])


def load(path: Path) -> Predict:
    """The prediction of an ONNX or joblib file. Blocking."""
    return _onnx(path) if path.suffix == ".onnx" else _sklearn(path)


def _onnx(path: Path) -> Predict:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    outputs = [session.get_outputs()[-1].name]

    def predict(rows: Any) -> NDArray[Any]:
        found: NDArray[Any] = session.run(outputs, {name: np.asarray(rows, np.float32)})[0]
        return found

    return predict


def _sklearn(path: Path) -> Predict:
    import joblib

    estimator = joblib.load(path)
    if not hasattr(estimator, "feature_names_in_"):
        return lambda rows: np.asarray(estimator.predict_proba(np.asarray(rows, np.float64)))

    import pandas as pd

    return lambda rows: np.asarray(estimator.predict(pd.DataFrame(rows)))
