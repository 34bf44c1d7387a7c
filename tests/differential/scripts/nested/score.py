"""Types within types, as generated scripts have them."""

import numpy as np
import pandas as pd
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

FRAME = PandasParameterType(pd.DataFrame({"a": [1], "b": [0.5]}), enforce_shape=False)
INPUTS = StandardPythonParameterType(
    {
        "frame": FRAME,
        "matrix": NumpyParameterType(np.array([[1, 2]], dtype="int32")),
        "options": StandardPythonParameterType({"depth": StandardPythonParameterType(2)}),
        "note": "free",
        "several": StandardPythonParameterType([FRAME]),
    }
)


def init():
    pass


@input_schema("Inputs", INPUTS)
@input_schema("GlobalParameters", StandardPythonParameterType(1.0))
@output_schema(StandardPythonParameterType({"Results": [1.0]}))
def run(Inputs, GlobalParameters=1.0):  # noqa: N803
    kinds = {name: type(value).__name__ for name, value in Inputs.items()}
    return {"kinds": kinds, "parameters": GlobalParameters}
