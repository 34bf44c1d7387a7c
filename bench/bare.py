"""The bare model call in process: `python -m bench.bare MODEL PAYLOAD SECONDS`.

Prints calls a second. What no server can pass but by joining calls: the rows are arrays (or a
frame) already, and the answer stays one.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.model import load

WARM_UP_S = 0.5
BATCH = 20


def prepared(rows: list[Any]) -> Any:
    """What the model itself takes."""
    if not isinstance(rows[0], dict):
        return np.asarray(rows)
    import pandas as pd

    return pd.DataFrame(rows)


def main() -> None:
    """Call the model for some seconds."""
    predict = load(Path(sys.argv[1]))
    given = prepared(json.loads(Path(sys.argv[2]).read_bytes())["checks"][0]["rows"])
    if sys.argv[1].endswith(".onnx"):
        given = given.astype(np.float32)
    calls = 0
    started = time.perf_counter()
    measured_from = started + WARM_UP_S
    until = measured_from + float(sys.argv[3])
    while (now := time.perf_counter()) < until:
        if now < measured_from:
            calls, started = 0, now
        for _ in range(BATCH):
            predict(given)
        calls += BATCH
    print(calls / (time.perf_counter() - started))


if __name__ == "__main__":
    main()
