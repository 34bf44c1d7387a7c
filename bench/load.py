"""Load on a server from wrk: one thread, on a processor that the server does not have."""

from __future__ import annotations

import json
import math
import resource
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.peers import HOST, Request

LOAD_CORE: Final = "1"
SCRIPT: Final = Path(__file__).with_name("post.lua")
TIMEOUT_S: Final = 60
"""What wrk waits for an answer before it counts a timeout."""
OPEN_FILES: Final = 4096


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk saw. Latencies are of all answers, whatever their status."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    requests: int
    refused: int
    """Answers with a status of 400 or more, which is how wrk counts."""
    broken: int
    """Connections refused or broken, and timeouts."""


class NoLoad(Exception):
    """wrk is not here or failed; the text says why."""


def version() -> str:
    """The first line of `wrk -v`, up to its licence."""
    if shutil.which("wrk") is None:
        raise NoLoad("wrk is not installed; on Debian: apt-get install wrk")
    said = subprocess.run(["wrk", "-v"], capture_output=True, text=True).stdout
    return said.split(" Copyright")[0].strip()


def run(
    port: int,
    request: Request,
    scratch: Path,
    *,
    connections: int,
    seconds: float,
    cores: str = LOAD_CORE,
) -> Load:
    """Ask a server the same over and over on so many connections. Blocking.

    Raises:
        NoLoad: wrk failed, or not one answer came.
    """
    seen = wrk(
        SCRIPT, port, request, scratch, connections=connections, seconds=seconds, cores=cores
    )
    if not seen["requests"]:
        raise NoLoad(f"no answer on {connections} connections within {math.ceil(seconds)} s")
    duration_s = seen["duration_us"] / 1e6
    return Load(
        requests_per_s=seen["requests"] / duration_s,
        p50_ms=seen["p50_us"] / 1e3,
        p99_ms=seen["p99_us"] / 1e3,
        requests=seen["requests"],
        refused=seen["status"],
        broken=seen["connect"] + seen["read"] + seen["write"] + seen["timeout"],
    )


def wrk(
    script: Path,
    port: int,
    request: Request,
    scratch: Path,
    *,
    connections: int,
    seconds: float,
    cores: str = LOAD_CORE,
) -> dict[str, Any]:
    """What the script's `done` printed. Blocking; wrk takes whole seconds only.

    Raises:
        NoLoad: wrk failed.
    """
    body = scratch / "body"
    body.write_bytes(request.body)
    command = [
        *("taskset", "-c", cores, "wrk", "-t1", f"-c{connections}", f"-d{math.ceil(seconds)}s"),
        *(f"--timeout={TIMEOUT_S}s", "-s", str(script), f"http://{HOST}:{port}{request.path}"),
        *("--", str(body), *_flat(list(request.headers.items()))),
    ]
    allow_files()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NoLoad(f"wrk failed: {(done.stderr or done.stdout).strip()[:200]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert isinstance(found, dict)
    return found


def allow_files() -> None:
    """Let this process and its children open as many connections as the overload needs."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _flat(pairs: Sequence[tuple[str, str]]) -> list[str]:
    return [word for pair in pairs for word in pair]
