"""What is asked of aml-serve beside the others, and whether the results of a run meet it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bench import peers, results
from bench.peers import FLOOR, SUBJECT
from bench.results import Line, Results
from bench.workloads import TITLES

PYTHON_PEERS: Final = ("kserve", "mlserver", "azureml", "mlflow", "litserve", "bentoml", "flask")
PRODUCTS: Final = ("kserve", "mlserver", "azureml", "mlflow", "litserve", "bentoml", "pytriton")
"""Servers that one installs; not handlers that one writes."""
CHECKING: Final = tuple(name for name in PYTHON_PEERS if peers.get(name).checks != "nothing")
FEW: Final = 16
"""Connections that are no overload."""
MANY: Final = 64
INSIDE: Final = 512
"""Requests that aml-serve lets in by default; who asks again at once waits for all those inside."""
KEPT: Final = 1.25
"""By how much a p99 may differ between two loads and still be the same."""

Rates = tuple[str, int, tuple[str, ...], str, float]
_RATES: Final[tuple[Rates, ...]] = (
    ("W1", 16, PYTHON_PEERS, "the best Python peer", 5),
    ("W2", 16, (FLOOR,), "the raw ASGI floor", 0.55),
    ("W2", 16, PYTHON_PEERS, "the best Python peer", 5),
    ("W2", 16, ("fastapi-tuned",), "hand-tuned FastAPI", 2),
    ("W3", 16, PYTHON_PEERS, "the best Python peer", 1.6),
    ("W4", 16, PYTHON_PEERS, "the best Python peer", 2),
    ("W5", 16, CHECKING, "the best Python peer that checks types too", 3),
)
"""Workload, connections, the others, their name, requests per second to the fastest of them."""
_SHARES: Final = (("W1", 1, 0.75), ("W3", 16, None))
"""Workload, connections, least share of the time that the floor and the bare call take."""

Lines = Mapping[str, Line]
"""Of one workload, by server."""


@dataclass(frozen=True, slots=True)
class Target:
    """One thing asked."""

    workload: str
    asked: str
    measured: str
    is_met: bool | None
    """None: asked to be told only."""

    @property
    def verdict(self) -> str:
        """In a word."""
        return {True: "met", False: "missed", None: "told"}[self.is_met]


def targets(found: Results) -> list[Target]:
    """Those whose servers and loads are in the run, by workload."""
    every = {w: {line.peer: line for line in results.lines(found, w)} for w in TITLES}
    own = {workload: of for workload, of in every.items() if SUBJECT in of}
    asked = [*_shares(found, own), *_rates(own), *_waits(own), *_memory(own)]
    order = list(own)
    asked.sort(key=lambda target: order.index(target.workload))
    return [*asked, *_overloads(found)]


def _rates(every: Mapping[str, Lines]) -> Iterator[Target]:
    for workload, connections, others, title, least in _RATES:
        of = every.get(workload, {})
        rates = {name: line.requests_per_s.get(connections, 0) for name, line in of.items()}
        name = max((n for n in others if rates.get(n)), key=rates.__getitem__, default=None)
        if name is None or connections not in of[SUBJECT].requests_per_s:
            continue
        ratio = rates[SUBJECT] / rates[name]
        told = f"{ratio:.2f} x"
        if len(others) > 1:
            told += f" ({peers.get(name).title})"
        asked = f"{connections} connections: requests/s at least {least:g} x {title}"
        yield _judged(of[SUBJECT], asked, told, ratio >= least)


def _shares(found: Results, every: Mapping[str, Lines]) -> Iterator[Target]:
    for workload, connections, least in _SHARES:
        share = results.share_of_possible(found, workload).get(connections)
        if share is None:
            continue
        asked = f"{_on(connections)}: time of the floor and the bare call to that of {SUBJECT}"
        if least is None:
            yield Target(workload, asked, f"{share:.2f}", None)
        else:
            own = every[workload][SUBJECT]
            yield _judged(own, f"{asked}, at least {least:g}", f"{share:.2f}", share >= least)


def _waits(every: Mapping[str, Lines]) -> Iterator[Target]:
    of = every.get("W2", {})
    waits = {name: line.p99_ms[MANY] for name, line in of.items() if MANY in line.p99_ms}
    others = [name for name in PYTHON_PEERS if name in waits]
    if others and SUBJECT in waits:
        name = min(others, key=waits.__getitem__)
        asked = f"{MANY} connections: p99 at most a third of the best Python peer's"
        told = f"{waits[SUBJECT] / waits[name]:.2f} x ({peers.get(name).title})"
        yield _judged(of[SUBJECT], asked, told, 3 * waits[SUBJECT] <= waits[name])
    line = every.get("W4", {}).get(SUBJECT)
    if line and MANY in line.p99_ms:
        ratio = line.p99_ms[MANY] / line.p50_ms[MANY]
        asked = f"{MANY} connections: p99 at most 3 x p50"
        yield _judged(line, asked, f"{ratio:.2f} x", ratio <= 3)


def _memory(every: Mapping[str, Lines]) -> Iterator[Target]:
    for of in every.values():
        others = [of[name] for name in PRODUCTS if name in of]
        if not others:
            continue
        own, least = of[SUBJECT], min(others, key=lambda line: line.memory_mb)
        title = peers.get(least.peer).title
        told = f"{own.memory_mb:,.0f} MB, {title} {least.memory_mb:,.0f} MB"
        is_met = own.memory_mb < least.memory_mb
        yield _judged(own, "memory: less than each product server", told, is_met)


def _overloads(found: Results) -> Iterator[Target]:
    if not found.overloads:
        return
    faults = [f"{run.connections:,}: {fault}" for run in found.overloads for fault in run.faults]
    yield Target("overload", "no fault", "; ".join(faults) or "none", not faults)
    known = {
        run.connections: run.p99_ms / min(run.connections, INSIDE)
        for run in found.overloads
        if run.statuses.get("200")
    }
    for run in found.overloads:
        if run.connections == FEW or FEW not in known:
            continue
        ratio = known.get(run.connections, float("inf")) / known[FEW]
        asked = (
            f"{run.connections:,} connections: p99 of the 200s by the requests inside at most "
            f"{KEPT:g} x that at {FEW}"
        )
        yield Target("overload", asked, f"{ratio:.2f} x", ratio <= KEPT)


def _judged(own: Line, asked: str, told: str, is_met: bool) -> Target:
    """A number counts only where each request was answered: a refusal is quick."""
    if bad := own.not_200 + own.broken:
        told += f"; {bad:,} requests without a 200"
    return Target(own.workload, asked, told, is_met and not bad)


def _on(connections: int) -> str:
    return f"{connections} connection{'s' if connections > 1 else ''}"
