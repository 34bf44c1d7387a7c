"""What a run found, and its medians and ratios; no text and no files."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from bench.load import Load
from bench.overload import Overload
from bench.peers import FLOOR, SUBJECT

_ADDRESS: Final = re.compile(r"\b\w+://\S+")
_FOLDERS: Final = re.compile(r"(?:/[\w.+@-]+)+/(?=[\w.+@-])")


@dataclass(frozen=True, slots=True)
class Visit:
    """One start of one server: a round."""

    peer: str
    workload: str
    answers_compared: int
    """With those of the model, before the loads."""
    first_answer_s: float
    first_answer_processor_s: float
    memory_mb: float
    """After the last load."""
    loads: dict[int, Load]
    """Connections -> what wrk saw."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A server that was not measured with a workload."""

    peer: str
    workload: str
    reason: str

    @classmethod
    def of(cls, peer: str, workload: str, error: Exception) -> Failure:
        """What the error says, without addresses and folders of this machine."""
        reason = _FOLDERS.sub("", _ADDRESS.sub("...", str(error)))
        return cls(peer, workload, reason)


@dataclass(slots=True)
class Results:
    """All that a run found."""

    facts: dict[str, Any]
    """Date, command, machine, versions, settings."""
    visits: list[Visit] = field(default_factory=list)
    bare: dict[str, list[float]] = field(default_factory=dict)
    """Workload -> calls a second of the bare model, one per round."""
    failures: list[Failure] = field(default_factory=list)
    overloads: list[Overload] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Line:
    """The medians of one server with one workload."""

    peer: str
    workload: str
    requests_per_s: dict[int, float]
    p50_ms: dict[int, float]
    p99_ms: dict[int, float]
    memory_mb: float
    first_answer_s: float
    first_answer_processor_s: float
    not_200: int
    """Answers of 400 and more in all rounds together; no server answers 2xx or 3xx but 200."""
    broken: int
    """Connections refused or broken and timeouts, in all rounds together."""


def lines(found: Results, workload: str) -> list[Line]:
    """A line for each peer with that workload, in the order of the first round."""
    visits = [visit for visit in found.visits if visit.workload == workload]
    peers = dict.fromkeys(visit.peer for visit in visits)
    return [_line([v for v in visits if v.peer == peer]) for peer in peers]


def _line(visits: list[Visit]) -> Line:
    loads = [load for visit in visits for load in visit.loads.values()]

    def each(value: Callable[[Load], float]) -> dict[int, float]:
        return {
            connections: statistics.median(value(visit.loads[connections]) for visit in visits)
            for connections in visits[0].loads
        }

    return Line(
        peer=visits[0].peer,
        workload=visits[0].workload,
        requests_per_s=each(lambda load: load.requests_per_s),
        p50_ms=each(lambda load: load.p50_ms),
        p99_ms=each(lambda load: load.p99_ms),
        memory_mb=statistics.median(visit.memory_mb for visit in visits),
        first_answer_s=statistics.median(visit.first_answer_s for visit in visits),
        first_answer_processor_s=statistics.median(v.first_answer_processor_s for v in visits),
        not_200=sum(load.refused for load in loads),
        broken=sum(load.broken for load in loads),
    )


def ratios(of: Iterable[Line]) -> dict[str, dict[int, float]]:
    """Peer -> connections -> requests a second of aml-serve to those of the peer."""
    by_peer = {line.peer: line.requests_per_s for line in of}
    own = by_peer.get(SUBJECT)
    if own is None:
        return {}
    return {
        peer: {c: own[c] / rate for c, rate in rates.items() if rate}
        for peer, rates in by_peer.items()
        if peer != SUBJECT
    }


def share_of_possible(found: Results, workload: str) -> dict[int, float]:
    """Connections -> (time of the floor + time of the bare call) to the time of aml-serve.

    1 is a server that costs no more than uvicorn and the model; batching can pass it.
    """
    by_peer = {line.peer: line.requests_per_s for line in lines(found, workload)}
    calls = found.bare.get(workload)
    if not calls or SUBJECT not in by_peer or FLOOR not in by_peer:
        return {}
    bare_s = 1 / statistics.median(calls)
    return {
        connections: rate * (1 / by_peer[FLOOR][connections] + bare_s)
        for connections, rate in by_peer[SUBJECT].items()
    }
