"""What a second worker brings: `make bench-scale`, or `python -m bench.scale --help`.

aml-serve with one and with two workers, each with one model thread, on all processors, which wrk
has a little of too. Each round starts each server anew, in the other order every second time.
Prints the best round of each, and how much more two workers answer; asserts nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from bench import load, servers, workloads
from bench.load import Load
from bench.peers import SUBJECT

WORKERS: Final = (1, 2)
CONNECTIONS: Final = (16, 64)
WORKLOADS: Final = "W1,W5"
WARM_UP_S: Final = 2.0
READY_S: Final = 30.0
CORES: Final = ",".join(map(str, sorted(os.sched_getaffinity(0))))

Key = tuple[int, int]
"""Workers, connections."""


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser("python -m bench.scale")
    parser.add_argument("--workloads", default=WORKLOADS, help=f"default {WORKLOADS}")
    parser.add_argument("--rounds", type=int, default=4, help="of which the best is told")
    parser.add_argument("--seconds", type=int, default=5, help="of each load")
    given = parser.parse_args()
    for name in given.workloads.split(","):
        found: dict[Key, list[Load]] = defaultdict(list)
        for number in range(given.rounds):
            for workers in WORKERS[:: -1 if number % 2 else 1]:
                for connections, seen in _loads(name, workers, given.seconds):
                    found[workers, connections].append(seen)
        _tell(name, found)


def _loads(name: str, workers: int, seconds: float) -> Iterator[tuple[int, Load]]:
    settings = {"SERVE_WORKERS": str(workers), "SERVE_THREADS": str(workers)}
    with servers.serving(SUBJECT, workloads.get(name), cores=CORES, settings=settings) as server:
        _await_workers(server, workers)
        at = (server.port, server.request, server.scratch)
        load.run(*at, connections=CONNECTIONS[0], seconds=WARM_UP_S, cores=CORES)
        for connections in CONNECTIONS:
            server.settle()
            yield connections, load.run(*at, connections=connections, seconds=seconds, cores=CORES)


def _await_workers(server: servers.Server, workers: int) -> None:
    """One worker has answered; until the others have loaded the model too."""
    until = time.monotonic() + READY_S
    while server.log.read_text(errors="replace").count(" is ready after ") < workers:
        if time.monotonic() > until:
            raise servers.Unfit(f"not {workers} workers are ready within {READY_S:g} s")
        time.sleep(servers.PAUSE_S)


def _tell(name: str, found: dict[Key, list[Load]]) -> None:
    print(f"{name}: {workloads.TITLES[name]}")
    for connections in CONNECTIONS:
        rates = {}
        for workers in WORKERS:
            seen = found[workers, connections]
            best = max(seen, key=lambda each: each.requests_per_s)
            rates[workers] = best.requests_per_s
            median = statistics.median(each.requests_per_s for each in seen)
            faults = sum(each.refused + each.broken for each in seen)
            print(
                f"  {connections:3} connections, {workers} workers: {best.requests_per_s:7.0f}/s"
                f" (median {median:.0f}), p50 {best.p50_ms:.2f} ms, p99 {best.p99_ms:.2f} ms,"
                f" not 200: {faults}"
            )
        first, last = WORKERS[0], WORKERS[-1]
        print(f"  {connections:3} connections: {rates[last] / rates[first]:.2f} times as many")


if __name__ == "__main__":
    main()
