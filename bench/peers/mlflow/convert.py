"""Writes the model of the workload in MLflow's format to a folder."""

# The peer's packages are in its own environment, not in the one that is type-checked.
# mypy: disable-error-code="import-not-found"

import json
import os
import sys
from pathlib import Path
from typing import Any

import joblib
import mlflow.onnx
import mlflow.sklearn
import numpy as np
import onnx
import pandas as pd
from mlflow.models import infer_signature

from bench.model import named


def example() -> Any:
    """The rows of the first request as the model takes them."""
    rows = json.loads(Path(os.environ["BENCH_PAYLOAD"]).read_bytes())["checks"][0]["rows"]
    if isinstance(rows[0], dict):
        return pd.DataFrame(rows)
    return np.asarray(rows, np.float32 if named().suffix == ".onnx" else np.float64)


def main() -> None:
    """Write the folder named by the argument."""
    given = example()
    common = {"path": sys.argv[1], "signature": infer_signature(given), "pip_requirements": []}
    if named().suffix == ".onnx":
        options = {"intra_op_num_threads": 1, "inter_op_num_threads": 1}
        mlflow.onnx.save_model(
            onnx.load(named()),
            onnx_execution_providers=["CPUExecutionProvider"],
            onnx_session_options=options,
            **common,
        )
        return
    called = "predict" if isinstance(given, pd.DataFrame) else "predict_proba"
    mlflow.sklearn.save_model(
        joblib.load(named()),
        pyfunc_predict_fn=called,
        serialization_format="cloudpickle",
        **common,
    )


if __name__ == "__main__":
    main()
