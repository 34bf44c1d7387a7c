"""Results that nobody measured, in which each number tells where it belongs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.environments import MODEL_LIBRARIES
from bench.load import Load
from bench.overload import Overload
from bench.peers import FLOOR, SUBJECT, TABLE
from bench.results import Results, Visit

CONNECTIONS = (1, 16, 64)


def a_load(rate: float = 1000.0, p50: float = 1.0, p99: float = 2.0, **more: int) -> Load:
    return Load(rate, p50, p99, **{"requests": 5000, "refused": 0, "broken": 0, **more})


def a_visit(
    peer: str,
    workload: str = "W2",
    rates: Sequence[float] = (100.0, 200.0, 300.0),
    memory_mb: float = 100.0,
    **more: Any,
) -> Visit:
    """One round; p50 is 16 connections' worth of the rate, p99 twice that, unless `loads` say."""
    loads = {
        connections: a_load(rate, connections / rate * 1e3, 2 * connections / rate * 1e3)
        for connections, rate in zip(CONNECTIONS, rates, strict=False)
    }
    known = {"answers_compared": 5, "first_answer_s": 0.5, "first_answer_processor_s": 0.25}
    return Visit(peer, workload, memory_mb=memory_mb, **{**known, "loads": loads, **more})


def an_overload(connections: int = 16, p99: float = 4.0, **more: Any) -> Overload:
    broken = {"connect": 0, "read": 0, "write": 0, "timeout": 0}
    known = {"statuses": {"200": 900, "503": 100}, "without_retry_after": 0, "broken": broken}
    return Overload(connections, 4321.0, 2.5, p99, **{**known, **more})


def some_results(*visits: Visit, **more: Any) -> Results:
    """A run of these visits; with none, of aml-serve and the floor on W2."""
    facts = {
        "date": "2026-01-02 03:04+00:00",
        "command": "python -m bench.side_by_side --made-up",
        "subject": "9.8.7 (abcdef0)",
        "machine": {"processor": "An Imagined One", "cores": 2, "load_generator": "wrk 4.2"},
        "seconds": 5,
        "warm_up_s": 2,
        "rounds_made": 3,
        "versions": {name: {} for name in TABLE}
        | {SUBJECT: {name: f"{name} 1.2" for name in (*MODEL_LIBRARIES, "uvicorn")}},
    }
    return Results(facts, list(visits or (a_visit(SUBJECT), a_visit(FLOOR))), **more)
