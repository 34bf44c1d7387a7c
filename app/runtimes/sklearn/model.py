"""Estimators saved by joblib or pickle: anything with `predict`."""

from __future__ import annotations

import importlib.metadata
import logging
import threading
import warnings
from typing import Any

import joblib
import numpy as np
from sklearn.base import is_regressor
from sklearn.exceptions import InconsistentVersionWarning

from app.errors import ModelInvalid
from app.manifest import Manifest
from app.runtimes.sklearn.inputs import derived_inputs
from app.schema.declared import declare
from app.tensors import Array, Batch, Prediction, Signature, TensorSpec

logger = logging.getLogger(__name__)

_catching_warnings = threading.Lock()  # warnings.catch_warnings changes the whole process


class SklearnModel:
    """One fitted estimator; scikit-learn's predictions only read it, so threads may share it."""

    def __init__(self, estimator: Any, manifest: Manifest) -> None:
        self._estimator = estimator
        self._names: list[str] | None = getattr(estimator, "feature_names_in_", None)
        inputs, guessed = derived_inputs(estimator)
        outputs = _outputs(estimator)
        derived = Signature(
            inputs,
            outputs,
            result=manifest.result or outputs[0].name,
            classes=manifest.classes or _classes(estimator),
            guessed=guessed,
        )
        if manifest.schema is not None:
            derived = declare(derived, manifest.schema)
        elif not inputs:
            raise ModelInvalid(
                f"what a {type(estimator).__name__} takes cannot be told; add a schema.json"
            )
        if derived.result not in {spec.name for spec in outputs}:
            known = ", ".join(spec.name for spec in outputs)
            raise ModelInvalid(
                f"manifest.yaml: the model has no output {derived.result!r}; it has {known}"
            )
        self.signature = derived
        self._wants_frame = self._names is not None or (not inputs and len(derived.inputs) > 1)

    def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        """Blocking; most of it holds the interpreter."""
        given = self._input(batch)
        found: Prediction = {}
        if self.signature.outputs[0].name in outputs:
            found[self.signature.outputs[0].name] = np.asarray(self._estimator.predict(given))
        asked = [name for name in outputs if name.startswith("probabilities")]
        if asked:
            scores = self._estimator.predict_proba(given)
            several = scores if isinstance(scores, list) else [scores]
            names = [s.name for s in self.signature.outputs[1:]]
            found.update(zip(names, (np.asarray(s) for s in several), strict=True))
        return found

    def _input(self, batch: Batch) -> Any:
        if self._wants_frame:
            import pandas as pd  # only models that want a frame pay for it

            names = batch.arrays if self._names is None else self._names
            columns = {name: np.reshape(batch.arrays[name], batch.rows) for name in names}
            return pd.DataFrame(columns, copy=False)
        if len(batch.arrays) == 1:
            return next(iter(batch.arrays.values()))
        dtypes = {array.dtype for array in batch.arrays.values()}
        dtype = "float64" if all(d.kind in "fiub" for d in dtypes) else "object"
        return batch.matrix(list(batch.arrays), dtype)


def load(manifest: Manifest, threads: int) -> SklearnModel:
    """See `runtimes.Load`; scikit-learn takes its number of threads from the estimator."""
    with _catching_warnings, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator = _unpickled(manifest)
    skews = [w.message for w in caught if isinstance(w.message, InconsistentVersionWarning)]
    if skews:
        logger.warning(
            "%s was saved by scikit-learn %s and is served by %s",
            manifest.file.name,
            skews[0].original_sklearn_version,
            skews[0].current_sklearn_version,
        )
    else:
        _compare(manifest)
    if not hasattr(estimator, "predict"):
        raise ModelInvalid(f"{manifest.file.name} holds a {type(estimator).__name__}, not a model")
    return SklearnModel(estimator, manifest)


def _unpickled(manifest: Manifest) -> Any:
    name = manifest.file.name
    try:
        return joblib.load(manifest.file)
    except ModuleNotFoundError as error:
        raise ModelInvalid(
            f"{name} needs the package {error.name!r}, not installed here"
        ) from error
    except AttributeError as error:
        raise ModelInvalid(
            f"{name} needs a class that is not here ({error}); move it into a package that is "
            "installed where the model is served"
        ) from error
    except Exception as error:  # unpickling runs any code and raises anything
        kind = type(error).__name__
        raise ModelInvalid(f"{name} cannot be unpickled ({kind}): is it complete?") from error


def _compare(manifest: Manifest) -> None:
    """Warn of packages that the training environment had in another version."""
    for package in ("scikit-learn", "numpy", "pandas"):
        trained = manifest.requirements.get(package)
        here = importlib.metadata.version(package)
        if trained is not None and trained != here:
            logger.warning(
                "%s was trained with %s %s, here is %s", manifest.file.name, package, trained, here
            )


def _outputs(estimator: Any) -> tuple[TensorSpec, ...]:
    """`label` (`variable` of a regressor), then `probabilities`, one per output of several."""
    classes = getattr(estimator, "classes_", None)
    several = isinstance(classes, list)
    name = "variable" if is_regressor(estimator) else "label"
    shape = (None, len(classes)) if several and classes is not None else (None,)
    dtype = "float64" if name == "variable" else _label_dtype(classes)
    first = TensorSpec(name, dtype, shape)
    if not hasattr(estimator, "predict_proba"):
        return (first,)
    if not several:
        width = None if classes is None else len(classes)
        return (first, TensorSpec("probabilities", "float64", (None, width)))
    scores = (
        TensorSpec(f"probabilities_{i}", "float64", (None, len(c)))
        for i, c in enumerate(classes or ())
    )
    return (first, *scores)


def _label_dtype(classes: Any) -> str:
    if classes is None:
        return "int64"
    kind = np.asarray(classes[0] if isinstance(classes, list) else classes).dtype
    return kind.name if kind.kind in "iufb" else "string"


def _classes(estimator: Any) -> tuple[Any, ...]:
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        return ()
    return tuple(c.tolist() for c in classes) if isinstance(classes, list) else _listed(classes)


def _listed(classes: Array) -> tuple[Any, ...]:
    return tuple(np.asarray(classes).tolist())
