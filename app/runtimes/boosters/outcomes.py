"""What the scores of LightGBM and XGBoost stand for, as their scikit-learn classes tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from app.tensors import Array, Prediction, TensorSpec

Kind = Literal["binary", "classes", "labels", "several", "values"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How to read the scores of one model.

    `binary`: of the second of two classes; `classes`: of each class; `labels`: they are classes;
    `several`: of each of several answers, yes or no; `values`: they are what was asked for.
    """

    kind: Kind
    width: int
    """Scores of one row."""
    dtype: str

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """`label` and `probabilities`, or `variable`; `prediction`: the score alone."""
        one, many = (None,), (None, self.width)
        if self.kind == "values":
            return (TensorSpec("variable", self.dtype, one if self.width == 1 else many),)
        if self.kind == "labels":
            return (TensorSpec("label", "int64", one),)
        label = TensorSpec("label", "int64", many if self.kind == "several" else one)
        if self.kind == "binary":
            score = TensorSpec("prediction", self.dtype, one)
            return label, TensorSpec("probabilities", self.dtype, (None, 2)), score
        return label, TensorSpec("probabilities", self.dtype, many)

    @property
    def aliases(self) -> Mapping[str, str]:
        """`prediction` is what the library itself calls so."""
        if self.kind == "binary":
            return {}
        return {"prediction": self.outputs[-1].name}

    @property
    def classes(self) -> tuple[int, ...]:
        """The file has their numbers only."""
        if self.kind not in ("binary", "classes"):
            return ()
        return tuple(range(max(2, self.width)))

    def read(self, scores: Array, outputs: tuple[str, ...]) -> Prediction:
        """`outputs` of `scores`, which have the rows first."""
        if self.kind == "values":
            return {"variable": scores}
        if self.kind == "labels":
            return {"label": scores.astype(np.int64)}
        found: Prediction = {}
        if "label" in outputs:
            if self.kind == "classes":
                found["label"] = scores.argmax(axis=1)
            else:
                found["label"] = (scores > 0.5).astype(np.int64)
        if "probabilities" in outputs:
            is_one = self.kind == "binary"
            found["probabilities"] = np.column_stack([1 - scores, scores]) if is_one else scores
        if "prediction" in outputs:
            found["prediction"] = scores
        return found
