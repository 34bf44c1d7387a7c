"""Measures aml-serve beside other servers: `make bench`, or `python -m bench.side_by_side --help`.

Each round starts each server anew, one at a time, checks its answers, warms it up and loads it.
"""

from __future__ import annotations

import datetime
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Final

from bench import environments, load, machine, overload, peers, report, servers, workloads
from bench.environments import NotInstalled
from bench.load import NoLoad
from bench.plan import Plan, planned
from bench.results import Failure, Results, Visit
from bench.servers import Unfit
from bench.workloads import Workload

WARM_UP_CONNECTIONS: Final = 16
ANSWERS_EACH: Final = 5
"""A load lasts until each connection should have so many, but not beyond `LONGEST_S`."""
LONGEST_S: Final = 30.0
BARE_S: Final = 2.0


def main(words: Sequence[str] | None = None) -> int:
    """Run; 1 when a server could not be measured or the overload shows a fault, 2 for neither."""
    words = sys.argv[1:] if words is None else words
    plan = planned(words)
    if (os.cpu_count() or 1) < 2:
        print("two processors are needed: one for the server, one for the load", file=sys.stderr)
        return 2
    os.sched_setaffinity(0, {int(load.LOAD_CORE)})
    try:
        found = _measured(plan, words)
    except NoLoad as error:
        print(error, file=sys.stderr)
        return 2
    print("", report.tables(found), sep="\n")
    for path in report.write(found, plan.folder):
        print(f"written: {os.path.relpath(path)}")
    for failure in found.failures:
        print(f"not measured: {failure.peer} on {failure.workload}: {failure.reason}")
    return int(bool(found.failures) or any(run.faults for run in found.overloads))


def _measured(plan: Plan, words: Sequence[str]) -> Results:
    found = Results(_facts(plan, words))
    installed = [name for name in plan.peers if _is_installed(name, plan, found)]
    for workload in map(workloads.get, plan.workloads):
        served = [n for n in installed if workload.name in peers.get(n).workloads]
        for number in range(plan.rounds if served else 0):
            _say(f"{workload.name}, round {number + 1} of {plan.rounds}")
            _round(plan, workload, served[:: -1 if number % 2 else 1], found)
    if plan.has_overload:
        _say("overload")
        try:
            found.overloads = overload.measure(plan.seconds)
        except (Unfit, NoLoad) as error:
            found.failures.append(Failure.of(peers.SUBJECT, "overload", error))
    return found


def _facts(plan: Plan, words: Sequence[str]) -> dict[str, Any]:
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(" ", "minutes"),
        "command": shlex.join(["python", "-m", "bench.side_by_side", *words]),
        "subject": machine.subject(),
        "machine": machine.described(),
        "seconds": plan.seconds,
        "warm_up_s": plan.warm_up_s,
        "rounds_made": plan.rounds,
        "versions": machine.versions(plan.peers),
    }


def _is_installed(name: str, plan: Plan, found: Results) -> bool:
    try:
        environments.python(peers.folder(name))
    except NotInstalled as error:
        found.failures.append(Failure.of(name, ",".join(plan.workloads), error))
        return False
    return True


def _round(plan: Plan, workload: Workload, names: Sequence[str], found: Results) -> None:
    """Each server once, but for those that failed in a round before; then the bare call."""
    failed = {(failure.peer, failure.workload) for failure in found.failures}
    for name in names:
        if (name, workload.name) in failed:
            continue
        try:
            visit = _visit(plan, workload, name)
        except (Unfit, NoLoad) as error:
            _say(f"  {name}: {error}")
            found.failures.append(Failure.of(name, workload.name, error))
            continue
        found.visits.append(visit)
        rates = " / ".join(f"{seen.requests_per_s:,.0f}" for seen in visit.loads.values())
        _say(f"  {name}: {rates} requests/s, {visit.memory_mb:,.0f} MB")
    found.bare.setdefault(workload.name, []).append(_bare(workload))


def _visit(plan: Plan, workload: Workload, name: str) -> Visit:
    with servers.serving(name, workload) as server:
        common = (server.port, server.request, server.scratch)
        warm = load.run(*common, connections=WARM_UP_CONNECTIONS, seconds=plan.warm_up_s)
        loads = {}
        for connections in plan.connections:
            server.settle()
            needed_s = ANSWERS_EACH * connections / max(warm.requests_per_s, 1e-3)
            seconds = max(plan.seconds, min(needed_s, LONGEST_S))
            loads[connections] = load.run(*common, connections=connections, seconds=seconds)
        return Visit(
            peer=name,
            workload=workload.name,
            answers_compared=server.compared,
            first_answer_s=server.first_answer_s,
            first_answer_processor_s=server.first_answer_processor_s,
            memory_mb=server.memory_mb(),
            loads=loads,
        )


def _bare(workload: Workload) -> float:
    """Calls a second of the model alone, on the servers' processor."""
    module = [sys.executable, "-m", "bench.bare"]
    given = [str(workload.model), str(workload.payload), f"{BARE_S:g}"]
    command = ["taskset", "-c", servers.SERVER_CORE, *module, *given]
    limits = {"OMP_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        command, cwd=peers.ROOT, env={**os.environ, **limits}, stdout=subprocess.PIPE, check=True
    )
    return float(done.stdout)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
