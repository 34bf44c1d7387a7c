"""MLflow's python_function models, of whatever flavour, by mlflow itself."""

from __future__ import annotations

import base64
import importlib
import logging
import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from app import opcodes
from app.errors import ModelInvalid
from app.manifest import Manifest
from app.mlmodel import Field, MLmodel
from app.runtimes import catching_warnings, signed
from app.schema.values import objects_of
from app.tensors import Array, Batch, Prediction, Signature, TensorSpec

logger = logging.getLogger(__name__)

_RESULT: Final = "predictions"
"""As mlflow's own server calls what a model gives."""
_DTYPES: Final[Mapping[Any, str]] = {
    "boolean": "bool",
    "datetime": "datetime64[ns]",
    "double": "float64",
    "float": "float32",
    "integer": "int32",
    "long": "int64",
}
"""Data type of a column -> numpy's, as mlflow wants it."""
_SPECS: Final[Mapping[Any, str]] = {**_DTYPES, "datetime": "datetime", "string": "string"}


class PyfuncModel:
    """One pyfunc; as with mlflow's server, calls of several threads reach it at once."""

    is_steady = False

    def __init__(self, model: Any, manifest: Manifest, stated: MLmodel) -> None:
        self._model = model
        self._fields = stated.inputs
        self._takes_list = stated.takes_list
        if manifest.schema is None:
            raise ModelInvalid(
                "MLmodel has no signature, so what the model takes is not known; save it with one "
                "(signature=..., or input_example=...), or add a schema.json"
            )
        derived = Signature(
            inputs=(),
            outputs=(_output(stated.outputs),),
            result=_RESULT,
            classes=manifest.classes,
            params=tuple(_param(field) for field in stated.params),
        )
        if manifest.result not in (None, _RESULT):
            raise ModelInvalid(
                f"manifest.yaml: the model has no output {manifest.result!r}; it has {_RESULT}"
            )
        self.signature = signed(derived, manifest)

    def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        """Blocking; runs the user's own code."""
        params = getattr(batch, "params", None)
        found = self._model.predict(self._given(batch), params=params)
        return {_RESULT: _rows_first(found, batch.rows)}

    def _given(self, batch: Batch) -> Any:
        """A frame for columns, an array or a mapping of arrays for tensors, a list for hints."""
        import pandas as pd

        arrays = batch.arrays
        fields = self._fields
        if fields and fields[0].shape is not None:
            if fields[0].name is None:
                return arrays["input"].astype(fields[0].type)
            return {f.name: arrays[f.name or ""].astype(f.type) for f in fields}
        if len(arrays) == 1 and "input" in arrays:
            (array,) = arrays.values()
            values = _column(array, fields[0]) if len(fields) == 1 else array
            return values.tolist() if self._takes_list else pd.DataFrame(values)
        known = {f.name: f for f in fields}
        columns = {}
        for name, array in arrays.items():
            field = known.get(name)
            if field is not None and not field.required and _is_empty(array):
                continue  # as if it had not been sent
            columns[name] = array if field is None else _column(array, field)
        return pd.DataFrame(columns, index=range(batch.rows))


def load(manifest: Manifest, threads: int, untrusted: str = "") -> PyfuncModel:
    """See `runtimes.Load`; how many threads a call uses is the model's own business."""
    stated = manifest.mlmodel
    if stated is None:
        raise ModelInvalid("a pyfunc needs the MLmodel file that mlflow saved with it")
    if untrusted:
        pickles = sorted(stated.folder.glob("*.pkl"))
        would = f" ({pickles[0].name}: {opcodes.told(pickles[0])})" if pickles else ""
        raise ModelInvalid(f"it is a pyfunc of MLflow, which is code: {untrusted}{would}")
    pyfunc = _imported()
    try:
        model = pyfunc.load_model(str(stated.folder), suppress_warnings=True)
    except ModuleNotFoundError as error:
        raise ModelInvalid(
            f"the pyfunc needs the module {error.name!r}, which is not installed here"
        ) from error
    except (Exception, SystemExit) as error:  # it is the user's own code, which raises anything
        logger.exception("a pyfunc raised while it was loaded")
        kind = type(error).__name__
        raise ModelInvalid(
            f"the pyfunc raised {kind} while it was loaded; the log has the details"
        ) from None
    return PyfuncModel(model, manifest, stated)


def _imported() -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")
    try:
        with catching_warnings, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of type hints of its own
            return importlib.import_module("mlflow.pyfunc")
    except ImportError as error:
        raise ModelInvalid(
            "MLmodel is a pyfunc, which needs mlflow, which is not installed here: "
            "install aml-serve[mlflow]"
        ) from error


def _output(fields: tuple[Field, ...]) -> TensorSpec:
    """One for all that the model gives; its type where the signature tells of one value."""
    if len(fields) != 1 or isinstance(fields[0].type, Mapping):
        return TensorSpec(_RESULT, "any", (None,))
    (field,) = fields
    if field.shape is None:
        dtype = "any" if field.name else _SPECS.get(field.type, "any")
        return TensorSpec(_RESULT, dtype, (None,))
    is_number = field.type.startswith(("bool", "float", "int", "uint"))
    sizes = tuple(None if size == -1 else size for size in field.shape[1:])
    return TensorSpec(_RESULT, field.type if is_number else "any", (None, *sizes))


def _param(field: Field) -> TensorSpec:
    spec = TensorSpec(str(field.name), _SPECS.get(field.type, "any"), (None,), required=False)
    if spec.dtype in ("int32", "float32"):
        spec = replace(spec, dtype="int64" if spec.dtype == "int32" else "float64")
    return spec if not field.shape else replace(spec, shape=(None, None))


def _column(array: Array, field: Field) -> Array:
    if isinstance(field.type, Mapping):
        return objects_of([_nested(value, field.type) for value in array.tolist()])
    if field.type == "binary":
        return objects_of([None if v is None else base64.b64decode(v) for v in array.tolist()])
    dtype = _DTYPES.get(field.type)
    has_gaps = array.dtype.kind == "f" and bool(np.isnan(array).any())
    if dtype is None or (has_gaps and not dtype.startswith("float")):
        return array
    return array.astype(dtype, copy=False)


def _nested(value: Any, kind: Any) -> Any:
    """A copy, since mlflow writes into what it is given; with floats where JSON has whole ones."""
    name = kind.get("type") if isinstance(kind, Mapping) else kind
    if isinstance(value, list) and name == "array":
        return [_nested(item, kind.get("items")) for item in value]
    if isinstance(value, dict) and name in ("map", "object"):
        kinds = kind.get("properties", {})
        return {key: _nested(v, kinds.get(key, kind.get("values"))) for key, v in value.items()}
    return float(value) if name in ("double", "float") and isinstance(value, int) else value


def _is_empty(array: Array) -> bool:
    if array.dtype.kind == "f":
        return bool(np.isnan(array).all())
    return array.dtype.kind == "O" and all(value is None for value in array.ravel())


def _rows_first(found: Any, rows: int) -> Any:
    """An array with an entry per row, where that is what the model gave."""
    if hasattr(found, "to_dict") and hasattr(found, "columns"):
        found = found.to_dict("records")
    elif hasattr(found, "to_numpy"):
        found = found.to_numpy()
    if isinstance(found, np.ndarray) or not isinstance(found, (list, tuple)) or len(found) != rows:
        return found
    kinds = {type(value) for value in found}
    is_number = len(kinds) == 1 and kinds <= {bool, int, float}
    return np.array(found) if is_number else objects_of(found)
