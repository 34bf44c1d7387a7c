"""Scoring scripts beside azureml-inference-server-http: `make bench-scripts`.

The same script behind both servers, aml-serve as a drop-in with one process for the script and the
other with one worker, as each comes. wrk and both servers share all processors; the servers are
asked in turn. Prints the median of each, and how many times as many requests aml-serve answers.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bench import load
from bench.load import Load
from bench.peers import Request
from tests.differential import original, ours
from tests.differential.services import SERVICES

CONNECTIONS: Final = (1, 4, 16)
JSON: Final = {"Content-Type": "application/json"}
REQUESTS: Final[Mapping[str, Request]] = {
    "plain": Request("/score", b'{"data": [[1, 2, 3]]}', JSON),
    "numpy": Request("/score", b'{"data": [[1.5, 2.5], [3.5, 4.5]]}', JSON),
    "raw": Request("/score?answer=object", b'{"data": [[1, 2, 3]]}', JSON),
}
"""By the script, which answers at once."""
CORES: Final = ",".join(map(str, sorted(os.sched_getaffinity(0))))
OURS: Final = "aml-serve"
THEIRS: Final = "azureml-inference-server-http"
WARM_UP_S: Final = 1.0

Seen = Mapping[tuple[str, int], Sequence[Load]]
"""By server and connections, one of each round."""


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser("python -m bench.scripts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of each load")
    given = parser.parse_args()
    for name in REQUESTS:
        _tell(name, measured(name, CONNECTIONS, given.rounds, given.seconds))


def measured(name: str, connections: Sequence[int], rounds: int, seconds: float) -> Seen:
    """Both servers with the script of that name. Raises: NoLoad: wrk failed. NotInstalled."""
    seen: dict[tuple[str, int], list[Load]] = defaultdict(list)
    with (
        tempfile.TemporaryDirectory() as folder,
        original.serving(SERVICES[name]) as theirs,
        ours.running(SERVICES[name]) as server,
    ):
        ports = {OURS: server.port, THEIRS: urlsplit(theirs).port or 80}
        for port in ports.values():
            _load(name, port, folder, connections[-1], WARM_UP_S)
        for number in range(rounds):
            for count in connections:
                for which in (OURS, THEIRS)[:: -1 if number % 2 else 1]:
                    seen[which, count].append(_load(name, ports[which], folder, count, seconds))
    return seen


def times(seen: Seen, connections: int) -> float:
    """How many times as many requests per second aml-serve answers, by the medians."""
    return _rate(seen[OURS, connections]) / _rate(seen[THEIRS, connections])


def _load(name: str, port: int, folder: str, connections: int, seconds: float) -> Load:
    at = (port, REQUESTS[name], Path(folder))
    return load.run(*at, connections=connections, seconds=seconds, cores=CORES)


def _rate(loads: Sequence[Load]) -> float:
    return statistics.median(each.requests_per_s for each in loads)


def _tell(name: str, seen: Seen) -> None:
    print(name)
    for (which, connections), loads in seen.items():
        p99_ms = statistics.median(each.p99_ms for each in loads)
        faults = sum(each.refused + each.broken for each in loads)
        print(
            f"  {connections:3} connections, {which:29}: {_rate(loads):6.0f}/s,"
            f" p99 {p99_ms:.2f} ms, not 200: {faults}"
        )
    for connections in sorted({count for _, count in seen}):
        print(f"  {connections:3} connections: {times(seen, connections):.2f} times as many")


if __name__ == "__main__":
    main()
