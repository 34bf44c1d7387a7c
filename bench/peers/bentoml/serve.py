"""One model behind BentoML."""

# The peer's packages are in its own environment, not in the one that is type-checked.
# mypy: disable-error-code="import-not-found, misc, untyped-decorator"

import os
from typing import Any

import bentoml
import numpy as np
import pandas as pd

from bench.model import load, named

Form: Any = pd.DataFrame if os.environ["BENCH_WORKLOAD"] == "W5" else np.ndarray


@bentoml.service(workers=1, traffic={"timeout": 60})
class Scorer:
    """The model of the workload."""

    def __init__(self) -> None:
        self.scores = load(named())

    @bentoml.api
    def predict(self, data: Form) -> np.ndarray:
        """Score `{"data": rows}`."""
        return self.scores(data)
