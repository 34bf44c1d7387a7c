"""What each phase of a scoring request costs, in microseconds and in instructions.

    python -m bench.micro                      microseconds, best of some rounds
    python -m bench.micro --instructions       counted by valgrind, compared with bench/micro.json
    python -m bench.micro --instructions --write    and written there

Instructions are repeatable where seconds are not. Only those of the phase itself are counted, in
the thread that does it; a count belongs to one version of Python and of the packages.
The model is W2 of the bench: one row of 30 floats, ONNX.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import json
import math
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

KNOWN: Final = Path(__file__).with_name("micro.json")
TOLERANCE: Final = 0.03
COUNTED: Final = 1_000
BEFORE: Final = 200
"""Not counted: what is done once is in them."""
ROUNDS: Final = 7
BODY: Final = json.dumps({"data": [[round(0.1 * i, 6) for i in range(30)]]}).encode()
HEADERS: Final = [
    (b"host", b"localhost:5001"),
    (b"content-type", b"application/json"),
    (b"content-length", b"%d" % len(BODY)),
]

Work = Callable[[int], None]
"""Does one phase so many times."""


def _loop(once: Callable[[], Any]) -> Work:
    def work(count: int) -> None:
        for _ in range(count):
            once()

    return work


def _schema() -> Any:
    from app.schema import Schema
    from app.tensors import Signature, TensorSpec

    probabilities = TensorSpec("probabilities", "float32", (None, 2))
    return Schema(
        Signature(
            (TensorSpec("x", "float32", (None, 30)),), (probabilities,), result="probabilities"
        )
    )


async def _never() -> Any:
    """Of a body that is here already."""
    raise AssertionError


def _decode() -> Work:
    from app.engine import Query
    from app.protocols.score import ScoreCodec

    codec, schema = ScoreCodec(), _schema()
    headers = {b"content-type": b"application/json"}
    query = Query(None, None, None, _never, len(BODY), None, headers=headers)
    return _loop(lambda: codec.decode(BODY, schema, query))


def _encode() -> Work:
    import numpy as np
    import orjson

    from app.schema.results import results

    schema = _schema()
    call = schema.call(orjson.loads(BODY))
    prediction = {"probabilities": np.array([[0.7, 0.3]], dtype=np.float32)}

    def once() -> None:
        answer = results(prediction, call, schema.signature)
        orjson.dumps({"results": answer}, option=orjson.OPT_SERIALIZE_NUMPY)

    return _loop(once)


def _ids() -> Work:
    from app.ids import IdSource

    source, headers = IdSource(), dict(HEADERS)
    return _loop(lambda: source.of(headers).headers())


def _record() -> Work:
    from app.telemetry import Trace
    from app.telemetry.gauges import Gauges
    from app.telemetry.prometheus import Prometheus
    from app.tensors import ModelRef

    prometheus = Prometheus(lambda: Gauges((), 0, 0, 0, 0, 0))
    ref = ModelRef("default", "w2", "1")

    def once() -> None:
        trace = Trace("POST")
        trace.route, trace.ref, trace.rows, trace.batch_rows = "/score", ref, 1, 1
        for phase in ("decode", "model", "decode", "queue", "predict", "deliver", "encode"):
            trace.enter(phase)
        trace.end(200)
        prometheus.record(trace)

    return _loop(once)


def _request() -> Work:
    """All of it but the server: from the ASGI scope to the last message of the answer."""
    from app.batching import workers
    from app.main import create_app
    from app.settings import Settings
    from bench import workloads

    # valgrind makes each model call too slow for the loop, which is where this one belongs
    workers.INLINE_S = workers.HOP_S = workers.TURN_S = math.inf  # type: ignore[misc]
    workloads.get("W2")
    front = create_app(
        Settings.load(
            {
                "SERVE_REGISTRY": str(workloads.REGISTRY),
                "SERVE_MODELS": "w2",
                "SERVE_CACHE_DIR": str(workloads.DATA / "cache"),
                "SERVE_THREADS": "1",
            }
        )
    )
    loop = asyncio.new_event_loop()
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask(count: int) -> None:
        for _ in range(count):
            sent.clear()
            await front(
                {
                    "type": "http",
                    "method": "POST",
                    "path": "/score/w2",
                    "query_string": b"",
                    "headers": HEADERS,
                },
                receive,
                send,
            )
            await asyncio.sleep(0)

    background = loop.run_until_complete(_started(front))
    loop.run_until_complete(ask(1))
    assert sent[0]["status"] == 200, sent

    def work(count: int) -> None:
        assert not background.done()
        loop.run_until_complete(ask(count))

    return work


async def _started(front: Any) -> asyncio.Task[None]:
    """The application, which has begun and goes on until the process ends."""
    begun = asyncio.Event()

    async def receive() -> dict[str, str]:
        if begun.is_set():
            await asyncio.Event().wait()
        return {"type": "lifespan.startup"}

    async def send(_: Any) -> None:
        begun.set()

    background = asyncio.create_task(front({"type": "lifespan"}, receive, send))
    await begun.wait()
    return background


PHASES: Final[dict[str, Callable[[], Work]]] = {
    "ids": _ids,
    "decode": _decode,
    "encode": _encode,
    "record": _record,
    "request": _request,
}


def microseconds(phase: str, count: int = 2000) -> float:
    """Of one, the best of some rounds."""
    work = PHASES[phase]()
    work(count // 10)
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work(count)
        best = min(best, time.perf_counter() - started)
    return best / count * 1e6


def instructions(phase: str) -> int:
    """Of one, by valgrind's callgrind. Blocking, for a quarter of a minute."""
    tool = ["--tool=callgrind", "--callgrind-out-file=/dev/null"]
    within = ["--collect-atstart=no", "--toggle-collect=ffi_call"]
    run = subprocess.run(
        ["valgrind", *tool, *within, sys.executable, "-m", "bench.micro", "--run", phase],
        env={**os.environ, "PYTHONHASHSEED": "0", "ORT_DISABLE_TELEMETRY": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"Collected : (\d+)", run.stderr)
    assert found is not None, run.stderr
    return round(int(found[1]) / COUNTED)


def _run(phase: str) -> None:
    """What valgrind watches: the phase, in a call that ctypes makes by libffi's `ffi_call`."""
    work = PHASES[phase]()
    work(BEFORE)
    gc.disable()  # when it would collect depends on more than the phase
    ctypes.PYFUNCTYPE(None)(lambda: work(COUNTED))()


def _versions() -> dict[str, str]:
    packages = ("numpy", "onnxruntime", "orjson", "jsonschema-rs")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def compare(*, write: bool) -> int:
    """Print counts beside the known ones; how many have grown by more than the tolerance."""
    known = json.loads(KNOWN.read_bytes()) if KNOWN.is_file() else {}
    if known and known["versions"] != _versions() and not write:
        print(f"the known counts are of {known['versions']}, here is {_versions()}: not compared")
        known = {}
    counts = {phase: instructions(phase) for phase in PHASES}
    grown = 0
    for phase, count in counts.items():
        before = known.get("instructions", {}).get(phase)
        change = "" if before is None else f"{count / before - 1:+8.1%}"
        grown += before is not None and count > before * (1 + TOLERANCE)
        print(f"{phase:10} {count:10,} instructions {change}")
    if write:
        told = {"versions": _versions(), "instructions": counts}
        KNOWN.write_text(json.dumps(told, indent=2) + "\n")
        return 0
    return grown


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--run", choices=PHASES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        _run(given.run)
        os._exit(0)  # the threads of a server are not waited for
    if given.instructions:
        sys.exit(min(1, compare(write=given.write)))
    for phase in PHASES:
        print(f"{phase:10} {microseconds(phase):8.2f} us")
    os._exit(0)


if __name__ == "__main__":
    main()
