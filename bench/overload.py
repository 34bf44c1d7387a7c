"""aml-serve with more connections than it lets in: what it answers, and how long that takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import load, servers, workloads
from bench.peers import SUBJECT

CONNECTIONS: Final = (16, 256, 1000)
"""The first is not too many: what the others are compared with."""
WORKLOAD: Final = "W2"
SCRIPT: Final = Path(__file__).with_name("overload.lua")


@dataclass(frozen=True, slots=True)
class Overload:
    """What one run with so many connections saw."""

    connections: int
    answered_per_s: float
    """Answers of 200."""
    p50_ms: float
    p99_ms: float
    """Of answers of 200."""
    statuses: dict[str, int]
    without_retry_after: int
    """503 without the header."""
    broken: dict[str, int]
    """wrk's counts of connections refused, reads and writes failed, and timeouts."""

    @property
    def faults(self) -> list[str]:
        """What an overloaded server must not do, and this one did."""
        found = [f"{n} x {s}" for s, n in self.statuses.items() if s not in ("200", "503")]
        found += [f"{count} x {what}" for what, count in self.broken.items() if count]
        if not self.statuses.get("200"):
            found.append("no 200")
        if self.without_retry_after:
            found.append(f"{self.without_retry_after} x 503 without Retry-After")
        return found


def measure(seconds: float) -> list[Overload]:
    """One run for each number of connections, of one server. Blocking."""
    found = []
    with servers.serving(SUBJECT, workloads.get(WORKLOAD)) as server:
        for connections in CONNECTIONS:
            server.settle()
            found.append(_run(server, connections, seconds))
    return found


def _run(server: servers.Server, connections: int, seconds: float) -> Overload:
    seen = load.wrk(
        *(SCRIPT, server.port, server.request, server.scratch),
        connections=connections,
        seconds=seconds,
    )
    return Overload(
        connections=connections,
        answered_per_s=seen["statuses"].get("200", 0) / seen["duration_us"] * 1e6,
        p50_ms=seen["p50_us"] / 1e3,
        p99_ms=seen["p99_us"] / 1e3,
        statuses=seen["statuses"],
        without_retry_after=seen["without_retry_after"],
        broken={name: seen[name] for name in ("connect", "read", "write", "timeout")},
    )
