"""Requests and answers of the Open Inference Protocol (V2): JSON, and the binary extension."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bench.peers import Request, Rows, dumps, json_request

_LENGTH: Final = "Inference-Header-Content-Length"
_KINDS: Final[Mapping[type, str]] = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES"}
_DTYPES: Final[Mapping[str, str]] = {"FP32": "<f4", "FP64": "<f8"}


def tensor(path: str, rows: Rows, datatype: str, **more: Any) -> Request:
    """The rows as one JSON tensor."""
    array = np.asarray(rows)
    given = {
        "name": "input",
        "shape": list(array.shape),
        "datatype": datatype,
        "data": array.ravel().tolist(),
    }
    return json_request(path, {"inputs": [given], **more})


def columns(path: str, rows: Rows, shape: list[int], **more: Any) -> Request:
    """A JSON tensor of that shape for each named column of one row."""
    (row,) = rows
    inputs = [
        {"name": name, "shape": shape, "datatype": _KINDS[type(value)], "data": [value]}
        for name, value in row.items()
    ]
    return json_request(path, {"inputs": inputs, **more})


def binary(path: str, rows: Rows, output: str) -> Request:
    """The rows as one tensor of raw float32, asking for a raw answer."""
    array = np.asarray(rows, "<f4")
    given = {
        "name": "input",
        "shape": list(array.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": array.nbytes},
    }
    wanted = {"name": output, "parameters": {"binary_data": True}}
    head = dumps({"id": "1", "inputs": [given], "outputs": [wanted]})
    headers = {"Content-Type": "application/octet-stream", _LENGTH: str(len(head))}
    return Request(path, head + array.tobytes(), headers)


def answer(body: bytes, headers: Mapping[str, str]) -> Any:
    """The only output of an answer, JSON or binary; `headers` have lower-case names."""
    length = int(headers.get(_LENGTH.lower(), len(body)))
    (output,) = json.loads(body[:length])["outputs"]
    if "data" in output:
        return output["data"]
    raw: npt.NDArray[Any] = np.frombuffer(body[length:], _DTYPES[output["datatype"]])
    return raw.tolist()
