"""What names cost that are served on demand: `make bench-many ARGS=--help`.

One server for each number of names, each the same model of some megabytes by a link; some twenty
of them fit into memory. A few are asked over and over by one connection: first alone, then while
another connection asks for all the others in turn, so that some model is loaded all the time.
Prints a line for each number; asserts nothing. Megabytes are 10**6 bytes; memory is the resident
size (proc(5)).
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bench.startup import ROOT, free_port, used

WARM = 4
"""Models that are asked over and over."""
FIT = 20
"""Models that memory holds."""
BODY = b'{"data": [[3]]}'


@dataclass(frozen=True, slots=True)
class Found:
    """Of one number of names."""

    start_s: float
    start_mb: float
    after_mb: float
    quiet_ms: float
    busy_ms: float
    """The 99th percentile of warm models, without and with loads beside them."""
    cold_ms: list[float]
    """First requests, and those after an eviction."""


class Client:
    """One connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def get(self, path: str) -> int:
        """The status."""
        self._connection.request("GET", path)
        return self._status()

    def score(self, name: str) -> float:
        """Milliseconds."""
        started = time.perf_counter()
        self._connection.request("POST", f"/score/{name}", BODY)
        status = self._status()
        assert status == 200, f"{name}: {status}"
        return (time.perf_counter() - started) * 1e3

    def close(self) -> None:
        """Of the connection."""
        self._connection.close()

    def _status(self) -> int:
        answer = self._connection.getresponse()
        answer.read()
        return answer.status


def write_model(path: Path, size_mb: float) -> None:
    """x -> y = weights[x]: large, and quick to ask."""
    weights = np.random.default_rng(0).normal(size=(int(size_mb * 250_000), 1)).astype(np.float32)
    x = helper.make_tensor_value_info("x", TensorProto.INT64, ["N", 1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])
    nodes = [
        helper.make_node("Squeeze", ["x", "axis"], ["row"]),
        helper.make_node("Gather", ["weights", "row"], ["y"]),
    ]
    given = [
        numpy_helper.from_array(weights, "weights"),
        numpy_helper.from_array(np.array([1]), "axis"),
    ]
    graph = helper.make_graph(nodes, "graph", [x], [y], given)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def write_registry(folder: Path, names: int, model: Path) -> None:
    """So many folders with one file, and a configuration that lists them all."""
    listed = []
    for number in range(names):
        place = folder / "registry" / f"m{number}" / "1"
        place.mkdir(parents=True)
        os.link(model, place / "model.onnx")
        listed.append({"name": f"m{number}", "preload": number < WARM})
    (folder / "config.yaml").write_text(json.dumps({"models": listed}))


@contextmanager
def serving(folder: Path, size_mb: float) -> Iterator[tuple[int, int]]:
    """Port and process of a server that is starting."""
    port = free_port()
    given = {
        "SERVE_REGISTRY": str(folder / "registry"),
        "SERVE_CONFIG": str(folder / "config.yaml"),
        "SERVE_HOST": "127.0.0.1",
        "SERVE_PORT": str(port),
        "SERVE_CACHE_DIR": str(folder / "cache"),
        "SERVE_MEMORY_BYTES": str(int(1.2e6 * FIT * size_mb)),
        "SERVE_LOG_LEVEL": "error",
    }
    command = [sys.executable, "-m", "app", "serve"]
    server = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **given})
    try:
        yield port, server.pid
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def await_ready(port: int) -> None:
    """Until the warm models are loaded."""
    while True:
        client = Client(port)
        try:
            if client.get("/readyz") == 200:
                return
        except OSError:
            pass
        finally:
            client.close()
        time.sleep(0.01)


def warm_ms(client: Client, seconds: float) -> float:
    """The 99th percentile."""
    until, times = time.monotonic() + seconds, list[float]()
    for number in itertools.cycle(range(WARM)):
        times.append(client.score(f"m{number}"))
        if time.monotonic() > until:
            return float(np.percentile(times, 99))
        time.sleep(0.001)
    raise AssertionError


def measure(names: int, size_mb: float, seconds: float) -> Found:
    """One server."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        write_model(folder / "model.onnx", size_mb)
        write_registry(folder, names, folder / "model.onnx")
        started = time.perf_counter()
        with serving(folder, size_mb) as (port, process):
            await_ready(port)
            start_s, start_mb = time.perf_counter() - started, used(process)[1]
            warm, cold = Client(port), Client(port)
            warm_ms(warm, 1)
            quiet_ms = warm_ms(warm, seconds)
            times, stop = list[float](), threading.Event()

            def load() -> None:
                for number in itertools.cycle(range(WARM, names)):
                    if stop.is_set():
                        return
                    times.append(cold.score(f"m{number}"))

            loading = threading.Thread(target=load)
            loading.start()
            busy_ms = warm_ms(warm, seconds)
            stop.set()
            loading.join()
            if names <= FIT:
                times = times[: names - WARM]  # from then on they are there
            return Found(start_s, start_mb, used(process)[1], quiet_ms, busy_ms, times)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser("python -m bench.many_models")
    parser.add_argument("--names", default="10,100,1000,10000")
    parser.add_argument("--size-mb", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=10, help="of each load")
    given = parser.parse_args()
    columns = (
        "names", "start, s", "memory then, MB", "memory after, MB", "p99 warm, ms",
        "p99 while others load, ms", "cold: p50, ms", "cold: p99, ms", "loads",
    )  # fmt: skip
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for names in map(int, given.names.split(",")):
        found = measure(names, given.size_mb, given.seconds)
        cold = np.percentile(found.cold_ms, (50, 99))
        print(
            f"| {names} | {found.start_s:.1f} | {found.start_mb:.0f} | {found.after_mb:.0f} "
            f"| {found.quiet_ms:.2f} | {found.busy_ms:.2f} | {cold[0]:.0f} | {cold[1]:.0f} "
            f"| {len(found.cold_ms)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
