"""A frame with columns of several types, and a mode that may be left out."""

import pandas as pd
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

SAMPLE = pd.DataFrame(
    {
        "age": pd.Series([31, 52], dtype="int64"),
        "income": [1000.5, 2000.25],
        "city": pd.Series(["Oslo", "Rome"], dtype=object),
        "member": [True, False],
        "since": pd.to_datetime(["2020-01-02T03:04:05", "2021-01-01T00:00:00"]),
    }
)


def init():
    pass


@input_schema("frame", PandasParameterType(SAMPLE))
@input_schema("mode", StandardPythonParameterType("rows"), optional=True)
@output_schema(StandardPythonParameterType({"rows": [{"age": 31}]}))
def run(frame, mode="rows"):
    return {
        "mode": mode,
        "types": {name: str(dtype) for name, dtype in frame.dtypes.items()},
        "rows": frame.astype(str).to_dict("records"),
    }
