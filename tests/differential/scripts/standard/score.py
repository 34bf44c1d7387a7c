"""Values of the standard types, one of them with a default, and the headers."""

import datetime

from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema


def init():
    pass


@input_schema("count", StandardPythonParameterType(3))
@input_schema("rate", StandardPythonParameterType(0.5))
@input_schema("label", StandardPythonParameterType("a"))
@input_schema("is_new", StandardPythonParameterType(True))
@input_schema("at", StandardPythonParameterType(datetime.datetime(2020, 1, 2, 3, 4, 5)))
@input_schema("picture", StandardPythonParameterType(b"\x00\x01"))
@input_schema("tags", StandardPythonParameterType(["x", "y"]))
@output_schema(StandardPythonParameterType({"count": 3}))
def run(count, rate, label, is_new, at, picture, request_headers, tags=("none",)):
    return {
        "count": count, "rate": rate, "label": label, "is_new": is_new, "at": str(at),
        "picture": repr(picture), "tags": tags, "agent": request_headers.get("User-Agent"),
    }  # fmt: skip
