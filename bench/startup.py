"""Time to ready, processor time and memory of a server with one model alone: `make bench-start`.

Prints; asserts nothing. Times are wall-clock and processor seconds from exec to the first 200 of
/readyz, memory is the resident size then and after one answer (proc(5)), in 10**6 bytes.
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROUNDS = 5
ROOT = Path(__file__).parent.parent


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def fetch(url: str, body: bytes | None = None) -> bytes:
    """The body answered; raises URLError."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return bytes(answer.read())


def used(pid: int) -> tuple[float, float]:
    """Processor seconds and resident megabytes of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return seconds, pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(cache: str) -> tuple[float, float, float, float]:
    """Seconds to ready, processor seconds, megabytes at ready, megabytes after an answer."""
    port = free_port()
    given = {
        "SERVE_REGISTRY": str(ROOT / "sample_model"),
        "SERVE_MODELS": "claim_classifier_onnx_demo",
        "SERVE_HOST": "127.0.0.1",
        "SERVE_PORT": str(port),
        "SERVE_CACHE_DIR": cache,
        "SERVE_LOG_LEVEL": "error",
    }
    started = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-m", "app", "serve"], cwd=ROOT, env={**os.environ, **given}
    )
    try:
        while True:
            try:
                fetch(f"http://127.0.0.1:{port}/readyz")
                break
            except urllib.error.URLError:
                time.sleep(0.005)
        ready_s = time.perf_counter() - started
        cpu_s, ready_mb = used(server.pid)
        fetch(
            f"http://127.0.0.1:{port}/score/claim_classifier_onnx_demo",
            b'{"data": "My house is on fire"}',
        )
        return ready_s, cpu_s, ready_mb, used(server.pid)[1]
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def main() -> None:
    """Print the median of some rounds after one that warms the disk cache."""
    with tempfile.TemporaryDirectory() as cache:
        measure(cache)
        rounds = [measure(cache) for _ in range(ROUNDS)]
    names = ("ready, s", "processor, s", "resident at ready, MB", "resident after an answer, MB")
    for name, values in zip(names, zip(*rounds, strict=True), strict=True):
        print(f"{name:30} {statistics.median(values):8.2f}  ({min(values):.2f}-{max(values):.2f})")


if __name__ == "__main__":
    main()
