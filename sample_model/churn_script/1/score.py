"""The churn model behind a scoring script: `{"data": [customer, ...]}` -> `{"results": [...]}`.

The decorators of inference-schema check a request, make it a frame, and describe it in
`/swagger.json`. Where that package is not installed, `undecorated.py` makes the frame.
"""

import json
import os
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

try:
    from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
    from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
    from inference_schema.parameter_types.standard_py_parameter_type import (
        StandardPythonParameterType,
    )
    from inference_schema.schema_decorators import input_schema, output_schema
except ImportError:
    from undecorated import (
        NumpyParameterType,
        PandasParameterType,
        StandardPythonParameterType,
        input_schema,
        output_schema,
    )

REQUEST = json.loads((Path(__file__).parent / "request.json").read_text("utf-8"))
CUSTOMERS = pd.DataFrame(REQUEST["data"])
ANSWER = {"results": NumpyParameterType(np.array(["stays", "churns"]))}


def init() -> None:
    """Read the model."""
    global model  # as scoring scripts have it
    model = joblib.load(Path(os.environ["AZUREML_MODEL_DIR"]) / "model.joblib")


@input_schema("data", PandasParameterType(CUSTOMERS))
@output_schema(StandardPythonParameterType(ANSWER))
def run(data: pd.DataFrame) -> dict[str, list[str]]:
    """The class of each customer."""
    return {"results": model.predict(data).tolist()}
