"""Prediction -> the JSON values of an answer."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from app.errors import SchemaMismatch
from app.tensors import Call, Prediction, Signature


def check_outputs(asked: Any, signature: Signature) -> tuple[str, ...] | None:
    """The outputs that a request names; None when it names none.

    Raises:
        SchemaMismatch: not a list of names, or a name that the model does not give.
    """
    if asked is None:
        return None
    if not isinstance(asked, list) or not asked or not all(isinstance(n, str) for n in asked):
        raise SchemaMismatch("outputs must be a list of names")
    known = [spec.name for spec in signature.outputs]
    known += [alias for alias in signature.aliases if alias not in known]
    for name in asked:
        if name not in known:
            near = difflib.get_close_matches(name[:100], known, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            raise SchemaMismatch(
                f'the model has no output "{name[:100]}", only {", ".join(known)}{hint}'
            )
    return tuple(dict.fromkeys(asked))


def results(prediction: Prediction, call: Call, signature: Signature) -> Any:
    """What stands under `results`, ready for orjson, which writes NaN and infinity as null."""
    if not call.batch.rows:
        return [] if call.outputs is None else {name: [] for name in call.outputs}
    if call.outputs is None:
        return _value(_output(prediction, signature.result, signature), call)
    return {name: _value(_output(prediction, name, signature), call) for name in call.outputs}


def plain(value: Any) -> Any:
    """Lists and scalars of Python in place of arrays; NaN and infinity as None."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "mM":
            return value.astype(str).tolist()
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            return plain(value.astype(np.float64).astype(object))
        if value.dtype.kind == "f" and value.dtype.itemsize > 8:
            return value.astype(np.float64).tolist()
        return plain(value.tolist()) if value.dtype.kind in "OS" else value.tolist()
    if isinstance(value, np.generic):
        return value.item() if value.dtype.kind in "iub" else plain(np.asarray(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _output(prediction: Prediction, name: str, signature: Signature) -> Any:
    return prediction[name] if name in prediction else prediction[signature.aliases[name]]


def _value(output: Any, call: Call) -> Any:
    if not isinstance(output, np.ndarray):
        return plain(output)
    if call.single and output.ndim and len(output) == call.batch.rows == 1:
        output = output[0]
        if not isinstance(output, np.ndarray):
            return plain(output)
    dtype = output.dtype
    if dtype.kind not in "fiub" or not output.ndim:
        return plain(output)
    if dtype.isnative and output.flags.c_contiguous and dtype.itemsize <= 8:
        return output
    if dtype.itemsize > 8:
        return np.ascontiguousarray(output, dtype=np.float64)  # orjson knows no wider one
    return np.ascontiguousarray(output, dtype=dtype.newbyteorder("="))
