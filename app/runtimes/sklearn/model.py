"""Estimators saved by joblib, pickle or skops: anything with `predict`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from app.errors import ModelInvalid
from app.manifest import Manifest
from app.runtimes import declared_rank, signed
from app.runtimes.sklearn.inputs import derived_inputs
from app.runtimes.sklearn.outputs import as_array, derived_outputs, listed_classes, observed
from app.runtimes.sklearn.pickles import unpickled
from app.schema import Schema
from app.schema.examples import records
from app.tensors import Array, Batch, Prediction, Signature, TensorSpec


class SklearnModel:
    """One fitted estimator; scikit-learn's predictions only read it, so threads may share it."""

    def __init__(self, estimator: Any, manifest: Manifest) -> None:
        self.estimator = estimator
        """Only read."""
        self._names: list[str] | None = getattr(estimator, "feature_names_in_", None)
        self.signature = self._signed(manifest)
        of_frame = not hasattr(estimator, "n_features_in_") and len(self.signature.inputs) > 1
        self._wants_frame = self._names is not None or of_frame
        self.signature = replace(self.signature, outputs=self._observed())
        self.is_steady = _is_of_libraries(estimator)
        known = [spec.name for spec in self.signature.outputs]
        if self.signature.result not in known:
            raise ModelInvalid(
                f"manifest.yaml: the model has no output {self.signature.result!r}; "
                f"it has {', '.join(known)}"
            )

    def _signed(self, manifest: Manifest) -> Signature:
        inputs, guessed = derived_inputs(self.estimator)
        schema = manifest.schema
        if not inputs and schema is None:
            raise ModelInvalid(
                f"what a {type(self.estimator).__name__} takes cannot be told (is it fitted?); "
                "add a schema.json"
            )
        if not inputs and schema is not None and "properties" not in schema:
            inputs = (TensorSpec("input", "any", (None,) * (1 + declared_rank(schema))),)
        outputs = derived_outputs(self.estimator)
        derived = Signature(
            inputs,
            outputs,
            result=manifest.result or outputs[0].name,
            classes=manifest.classes or listed_classes(self.estimator),
            guessed=guessed,
        )
        return signed(derived, manifest)

    def _observed(self) -> tuple[TensorSpec, ...]:
        """The outputs as a made-up row shows them; as derived where no such row runs."""
        specs = self.signature.outputs
        try:
            batch, _ = Schema(self.signature).decode(records(self.signature, 1))
            given = self.given(batch)
            scores = self.estimator.predict_proba(given) if len(specs) > 1 else None
            return observed(specs, self.estimator.predict(given), scores)
        except Exception:  # noqa: BLE001  # the check at load tells what is wrong with such a model
            return specs

    def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        """Blocking; most of it holds the interpreter."""
        given = self.given(batch)
        first, *rest = self.signature.outputs
        found: Prediction = {}
        if first.name in outputs:
            found[first.name] = as_array(self.estimator.predict(given), first.dtype)
        if any(spec.name in outputs for spec in rest):
            scores = self.estimator.predict_proba(given)
            several = scores if isinstance(scores, list) else [scores]
            for spec, score in zip(rest, several, strict=True):
                if spec.name in outputs:
                    found[spec.name] = as_array(score, spec.dtype)
        return found

    def given(self, batch: Batch) -> Any:
        """What the estimator is called with: a frame or an array."""
        if self._wants_frame:
            return self._frame(batch)
        if len(batch.arrays) > 1:
            dtypes = {array.dtype for array in batch.arrays.values()}
            dtype = "float64" if all(d.kind in "fiub" for d in dtypes) else "any"
            return batch.matrix(list(batch.arrays), dtype)
        (array,) = batch.arrays.values()
        is_column = array.ndim == 1 and hasattr(self.estimator, "n_features_in_")
        return np.reshape(array, (batch.rows, 1)) if is_column else array

    def _frame(self, batch: Batch) -> Any:
        """In the order of training; columns of unknown type get the one that their values show."""
        import pandas as pd  # only models that want a frame pay for it

        names = batch.arrays if self._names is None else self._names
        columns: dict[str, Array] = {n: np.reshape(batch.arrays[n], batch.rows) for n in names}
        frame = pd.DataFrame(columns, copy=False)
        has_objects = any(column.dtype.kind == "O" for column in columns.values())
        return frame.infer_objects() if has_objects else frame


def _is_of_libraries(estimator: Any) -> bool:
    """No code but scikit-learn's runs in a prediction: none that sleeps, or asks a database."""
    if not hasattr(estimator, "get_params"):
        return False
    parts = [estimator, *estimator.get_params(deep=True).values()]
    modules = {getattr(p if callable(p) else type(p), "__module__", None) for p in parts}
    roots = {str(module).partition(".")[0] for module in modules}
    return roots <= {"builtins", "numpy", "scipy", "sklearn"}


def load(manifest: Manifest, threads: int, untrusted: str = "") -> SklearnModel:
    """See `runtimes.Load`; scikit-learn takes its number of threads from the estimator."""
    estimator = unpickled(manifest, untrusted)
    if not hasattr(estimator, "predict"):
        raise ModelInvalid(f"{manifest.file.name} holds a {type(estimator).__name__}, not a model")
    return SklearnModel(estimator, manifest)
