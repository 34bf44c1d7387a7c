"""What malloc and onnxruntime keep: `python -m bench.memory`. The figures of docs/memory.md.

Each line is a process of its own. Prints; asserts nothing. Megabytes are 10**6 bytes. A library to
preload (jemalloc) is named by BENCH_PRELOAD.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from app import quota
from app.memory import give_back

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
COUNT: Final = 40
MALLOCS: Final = {
    "nothing done": {},
    "malloc_trim(0)": {"BENCH_TRIM": "1"},
    "MALLOC_ARENA_MAX=2": {"MALLOC_ARENA_MAX": "2"},
}


def session(path: Path, *, keeps: bool) -> Any:
    """`keeps`: with onnxruntime's arena and memory patterns."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = keeps
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def layers(path: Path, *sizes: int) -> Path:
    """x -> y by matrices of random numbers."""
    drawn = np.random.default_rng(0)
    nodes, given, last = [], [], "x"
    for i, shape in enumerate(itertools.pairwise(sizes)):
        weights = (drawn.normal(size=shape) * 0.05).astype(np.float32)
        given.append(numpy_helper.from_array(weights, f"w{i}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{i}"], [f"h{i}"]))
        last = f"h{i}"
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", sizes[0]])
    y = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["N", sizes[-1]])
    graph = helper.make_graph(nodes, "graph", [x], [y], given)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def many(path: Path) -> Iterator[str]:
    """Forty models of 10 MB are loaded, and go."""
    trims = "BENCH_TRIM" in os.environ
    one = np.ones((1, 1581), np.float32)
    session(path, keeps=False).run(None, {"x": one})
    give_back()
    before = quota.anonymous_bytes()
    sessions = []
    for _ in range(COUNT):
        sessions.append(session(path, keeps=False))
        sessions[-1].run(None, {"x": one})
        if trims:
            give_back()
    yield f"each takes {(quota.anonymous_bytes() - before) / COUNT / 1e6:.1f} MB"
    sessions.clear()
    started = time.perf_counter()
    if trims:
        give_back()
    spent_ms = (time.perf_counter() - started) * 1e3
    yield f"{(quota.anonymous_bytes() - before) / 1e6:.1f} MB stay, after {spent_ms:.0f} ms"


def largest_batch(path: Path) -> Iterator[str]:
    """A session keeps what its largest batch needed, or not; and what a call takes."""
    for keeps in (True, False):
        made = session(path, keeps=keeps)
        one = np.ones((1, 30), np.float32)
        times = []
        for _ in range(2000):
            started = time.perf_counter()
            made.run(None, {"x": one})
            times.append(time.perf_counter() - started)
        give_back()
        before = quota.anonymous_bytes()
        made.run(None, {"x": np.ones((16_384, 30), np.float32)})
        give_back()
        kept = (quota.anonymous_bytes() - before) / 1e6
        name = "arena and patterns on" if keeps else "off"
        yield f"{name}: {kept:.1f} MB kept after 16,384 rows; 1 row {min(times) * 1e6:.1f} us"


def main() -> None:
    """See the module's docstring."""
    if sys.argv[1:]:
        what = many if sys.argv[1] == "many" else largest_batch
        print("; ".join(what(Path(sys.argv[2]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        mallocs: dict[str, dict[str, str]] = dict(MALLOCS)
        if "BENCH_PRELOAD" in os.environ:
            mallocs["preloaded"] = {"LD_PRELOAD": os.environ["BENCH_PRELOAD"]}
        large = layers(Path(folder) / "large.onnx", 1581, 1581)
        for name, env in mallocs.items():
            print(f"{name}: {_child(env, 'many', large)}")
        print(_child({}, "batch", layers(Path(folder) / "small.onnx", 30, 512, 512, 512, 2)))


def _child(env: dict[str, str], what: str, path: Path) -> str:
    command = [sys.executable, "-m", "bench.memory", what, str(path)]
    return subprocess.check_output(command, env={**os.environ, **env}, text=True).strip()


if __name__ == "__main__":
    main()
