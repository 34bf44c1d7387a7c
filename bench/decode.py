"""What it costs to read a /score body: from its bytes to the batch, in microseconds.

    python -m bench.decode

Beside each other: orjson alone, the slow way (`Schema.call` of the document, which says what is
wrong), and `Schema.read`, which takes a quick way where there is one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from app.schema import Schema
from app.schema.declared import declare
from app.schema.document import loads
from app.tensors import Call, Signature, TensorSpec

ROUNDS: Final = 15
ROUND_S: Final = 0.05
CHURN: Final = Path(__file__).parents[1] / "sample_model/churn/2/schema.json"
OUT: Final = (TensorSpec("label", "int64", (None,)),)


def _tensor(dtype: str, *sizes: int) -> Schema:
    return Schema(Signature((TensorSpec("x", dtype, (None, *sizes)),), OUT, result="label"))


def _table() -> tuple[Schema, list[Any]]:
    """20 columns of all types, and records for them."""
    document = json.loads(CHURN.read_bytes())
    columns = tuple(TensorSpec(name, "any", (None,)) for name in document["properties"])
    schema = Schema(declare(Signature(columns, OUT, result="label"), document))
    return schema, document["examples"] * 128


def cases() -> dict[str, tuple[Schema, Any]]:
    """Name -> schema and request."""
    floats = np.round(np.random.default_rng(0).random(3 * 224 * 224), 6)
    pixels = (floats * 255).astype(int)
    table, records = _table()
    rows = [list(record.values()) for record in records]
    split = {"columns": list(records[0]), "data": rows}
    features, image = _tensor("float32", 30), _tensor("float32", 3, 224, 224)
    data: dict[str, tuple[Schema, Any]] = {
        "1 x 30 floats": (features, [floats[:30].tolist()]),
        "32 x 30 floats": (features, floats[:960].reshape(32, 30).tolist()),
        "256 x 30 floats": (features, floats[:7680].reshape(256, 30).tolist()),
        "1 x 3 x 224 x 224 floats": (image, floats.reshape(1, 3, 224, 224).tolist()),
        "1 x 3 x 224 x 224 uint8": (
            _tensor("uint8", 3, 224, 224),
            pixels.reshape(1, 3, 224, 224).tolist(),
        ),
        "20,000 x 30 floats": (features, np.resize(floats, (20_000, 30)).tolist()),
        "1 record of 20 columns": (table, records[0]),
        "256 records": (table, records),
        "256 rows by position": (table, rows),
    }
    requests = {name: (schema, {"data": given}) for name, (schema, given) in data.items()}
    return requests | {"256 rows, split form": (table, {"input_data": split})}


def slowly(schema: Schema, body: bytes) -> Call:
    """By the way that tells all faults."""
    return schema.call(loads(body))


def microseconds(work: Callable[[], object]) -> float:
    """Of one, the best of some rounds."""
    started = time.perf_counter()
    work()
    count = max(1, int(ROUND_S / (time.perf_counter() - started)))
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(count):
            work()
        best = min(best, time.perf_counter() - started)
    return best / count * 1e6


def main() -> None:
    """See the module's docstring."""
    print(f"{'':26}{'bytes':>10}{'orjson':>12}{'slow':>12}{'read':>12}")
    for name, (schema, request) in cases().items():
        body = json.dumps(request).encode()
        took = (
            microseconds(partial(orjson.loads, body)),
            microseconds(partial(slowly, schema, body)),
            microseconds(partial(schema.read, body)),
        )
        print(f"{name:26}{len(body):10,}" + "".join(f"{us:12,.1f}" for us in took))


if __name__ == "__main__":
    main()
