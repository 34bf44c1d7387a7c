"""What is measured, as the command line says it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import overload, workloads
from bench.peers import FLOOR, SUBJECT, TABLE


@dataclass(frozen=True, slots=True)
class Plan:
    """One run."""

    peers: tuple[str, ...]
    workloads: tuple[str, ...]
    connections: tuple[int, ...]
    seconds: int
    warm_up_s: int
    rounds: int
    has_overload: bool
    folder: Path
    """Where the results go."""


def planned(words: Sequence[str]) -> Plan:
    """The plan that the words ask for; ends the process when they are wrong."""
    parser = _parser()
    given = parser.parse_args(words)
    named = _known(parser, given.peers, TABLE)
    loads = _known(parser, given.workloads, workloads.TITLES)
    overloads = given.overload or ("yes" if overload.WORKLOAD in loads else "no")
    is_whole = len(named) == len(TABLE) and len(loads) == len(workloads.TITLES)
    folder = "results" if is_whole and overloads == "yes" else ".data/results"
    return Plan(
        peers=tuple(name for name in TABLE if name in (*named, SUBJECT, FLOOR)),
        workloads=() if overloads == "only" else tuple(w for w in workloads.TITLES if w in loads),
        connections=tuple(int(count) for count in given.concurrency.split(",")),
        seconds=given.seconds,
        warm_up_s=given.warm_up,
        rounds=given.rounds,
        has_overload=overloads != "no",
        folder=given.results or Path(__file__).parent / folder,
    )


def _parser() -> argparse.ArgumentParser:
    every, loads = ",".join(TABLE), ",".join(workloads.TITLES)
    parser = argparse.ArgumentParser(
        "python -m bench.side_by_side", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--peers", default=every, help="aml-serve and floor always are")
    parser.add_argument("--workloads", default=loads, help="by name")
    parser.add_argument("--concurrency", default="1,16,64", help="connections of the loads")
    parser.add_argument("--seconds", type=int, default=5, help="of each load")
    parser.add_argument("--warm-up", type=int, default=2, help="seconds before the loads")
    parser.add_argument("--rounds", type=int, default=3, help="whose medians are told")
    parser.add_argument(
        "--overload", choices=("yes", "no", "only"), help=f"None: yes with {overload.WORKLOAD}"
    )
    parser.add_argument(
        "--results", type=Path, help="None: bench/results, of a part bench/.data/results"
    )
    return parser


def _known(
    parser: argparse.ArgumentParser, given: str, known: Mapping[str, str]
) -> tuple[str, ...]:
    named = [name for name in given.split(",") if name]
    for name in named:
        if name not in known:
            parser.error(f"{name} is none of {', '.join(known)}")
    return tuple(name for name in known if name in named)
