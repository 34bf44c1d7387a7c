"""What one row costs by scikit-learn and by its ONNX form: `make bench-accelerate`.

Prints; asserts nothing. Each model is converted and compared as `accelerate: verify` does, then
both are called in turns with the same single row, in process, on one thread; medians.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from app import manifest, runtimes
from app.acceleration import Accelerator
from app.schema import Schema
from app.schema.examples import records
from app.store import Store
from app.tensors import Batch, Model

ROOT = Path(__file__).parent.parent
ROUNDS = 5
ROUND_S = 0.4
ROWS, COLUMNS, SEED = 2000, 30, 2018


def trained() -> Iterator[tuple[str, Any]]:
    """Estimators of 30 numbers."""
    rows, kinds = make_classification(ROWS, COLUMNS, n_informative=12, random_state=SEED)
    scaled = make_pipeline(StandardScaler(), LogisticRegression())
    yield "logistic regression, scaled", scaled.fit(rows, kinds)
    forest = RandomForestClassifier(100, random_state=SEED)
    yield "random forest of 100", forest.fit(rows, kinds)
    boosted = HistGradientBoostingClassifier(max_iter=100, random_state=SEED)
    yield "histogram boosting of 100", boosted.fit(rows, kinds)


def folders(place: Path) -> Iterator[tuple[str, Path]]:
    """Name and model folder of each model."""
    for version in ("1", "2"):
        yield f"churn {version}", ROOT / "sample_model" / "churn" / version
    for name, estimator in trained():
        folder = place / name.replace(" ", "-")
        folder.mkdir()
        joblib.dump(estimator, folder / "model.joblib")
        (folder / "schema.json").write_text(json.dumps(schema()))
        yield name, folder


def schema() -> dict[str, Any]:
    """Of a row of numbers."""
    return {
        "type": "array",
        "items": {"type": "number"},
        "minItems": COLUMNS,
        "maxItems": COLUMNS,
        "examples": [np.zeros(COLUMNS).tolist()],
    }


def median_s(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    call()
    times, ends = list[float](), time.perf_counter() + ROUND_S
    while time.perf_counter() < ends:
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def measure(before: Model, after: Model, one: Batch) -> tuple[float, float]:
    """Seconds for one row, by both, in turns."""
    outputs = (before.signature.outputs[0].name,)
    calls = [partial(model.predict, one, outputs) for model in (before, after)]
    pairs = [[median_s(call) for call in calls] for _ in range(ROUNDS)]
    first, second = zip(*pairs, strict=True)
    return statistics.median(first), statistics.median(second)


def main() -> None:
    """Print a line for each model."""
    head = f"{'model':<30}{'scikit-learn':>14}{'ONNX':>10}{'gain':>9}{'converted in':>14}"
    print(f"{head}  compared")
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        store = Store(place / "cache", 10**9)
        store.open()
        for name, folder in folders(place):
            stated, digest = manifest.read(folder), manifest.digest(folder)
            before = runtimes.load(stated, 1)
            after, found = Accelerator(store).load(stated, digest, "", 1, "verify")
            if found.report.reason:
                print(f"{name:<30}{found.told()}")
                continue
            one, _ = Schema(before.signature).decode(records(before.signature, 1))
            before_s, after_s = measure(before, after, one)
            print(
                f"{name:<30}{before_s * 1e6:>11.0f} us{after_s * 1e6:>7.0f} us"
                f"{before_s / after_s:>6.0f} x {found.report.convert_s:>11.1f} s"
                f"  {sum(found.report.rows.values())} rows"
            )


if __name__ == "__main__":
    main()
