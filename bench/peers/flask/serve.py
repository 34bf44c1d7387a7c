"""One model behind Flask, read from its file on each request."""

# The peer's packages are in its own environment, not in the one that is type-checked.
# mypy: disable-error-code="import-not-found, untyped-decorator"

from typing import Any

from flask import Flask, request

from bench.model import load, named

app = Flask(__name__)


@app.post("/predict")
def score() -> dict[str, Any]:
    """Score `{"data": rows}`."""
    predict = load(named())
    return {"results": predict(request.get_json()["data"]).tolist()}
