"""A list of several types, which version 2 of Swagger cannot tell."""

from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema


def init():
    pass


@input_schema("row", StandardPythonParameterType([1, "two", 3.0, {"four": None}]))
def run(row):
    return row
