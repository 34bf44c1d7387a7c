"""One model behind Triton, called in a Python process of its own."""

# The peer's packages are in its own environment, not in the one that is type-checked.
# mypy: disable-error-code="import-not-found, untyped-decorator"

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from bench.model import load, named
from bench.peers import HOST

MAX_ROWS = 256
_scores = load(named())


@batch
def table(**inputs: Any) -> list[Any]:
    """Score one tensor."""
    return [_scores(inputs["input"])]


@batch
def frame(**inputs: Any) -> list[Any]:
    """Score columns of shape `(rows, 1)`."""
    columns = {name: _column(values[:, 0]) for name, values in inputs.items()}
    return [np.char.encode(_scores(columns).astype("U"), "utf-8")[:, np.newaxis]]


def _column(values: Any) -> Any:
    if values.dtype != object:
        return values
    return np.char.decode(values.astype(bytes), "utf-8").astype(object)


def _inputs(rows: list[Any]) -> list[Tensor]:
    if not isinstance(rows[0], dict):
        dtype = np.float64 if named().suffix == ".joblib" else np.float32
        return [Tensor(name="input", dtype=dtype, shape=np.shape(rows)[1:])]
    kinds: dict[type, Any] = {bool: np.bool_, int: np.int64, float: np.float64, str: bytes}
    return [Tensor(name=n, dtype=kinds[type(v)], shape=(1,)) for n, v in rows[0].items()]


def _output(expected: Any) -> Tensor:
    known = np.asarray(expected)
    if known.dtype.kind == "U":
        return Tensor(name="scores", dtype=bytes, shape=(1,))
    dtype = np.float64 if named().suffix == ".joblib" else np.float32
    return Tensor(name="scores", dtype=dtype, shape=known.shape[1:])


def main() -> None:
    """Serve on the port named by the argument."""
    check = json.loads(Path(os.environ["BENCH_PAYLOAD"]).read_bytes())["checks"][0]
    config = TritonConfig(
        http_address=HOST,
        http_port=int(sys.argv[1]),
        allow_grpc=False,
        allow_metrics=False,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="model",
            infer_func=frame if isinstance(check["rows"][0], dict) else table,
            inputs=_inputs(check["rows"]),
            outputs=[_output(check["expected"])],
            config=ModelConfig(max_batch_size=MAX_ROWS),
        )
        triton.serve()


if __name__ == "__main__":
    main()
