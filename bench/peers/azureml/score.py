"""A scoring script as the documentation of Azure ML shows it."""

import json
from typing import Any

from bench.model import Predict, load, named

predict: Predict


def init() -> None:
    """Load the model."""
    global predict
    predict = load(named())


def run(raw_data: str) -> dict[str, Any]:
    """Score `{"data": rows}`."""
    return {"results": predict(json.loads(raw_data)["data"]).tolist()}
