"""What is measured, as the command line says it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import overload, workloads
from bench.peers import FLOOR, SUBJECT, TABLE

CONNECTIONS: Final = "1,16,64"


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
    named = _known(parser, f"{SUBJECT},{FLOOR},{given.peers}", TABLE)
    loads = _known(parser, given.workloads, workloads.TITLES)
    connections = _counts(parser, given.concurrency)
    overloads = given.overload or ("yes" if overload.WORKLOAD in loads else "no")
    asked = (named, loads, connections, overloads)
    whole = (tuple(TABLE), tuple(workloads.TITLES), _counts(parser, CONNECTIONS), "yes")
    folder = "results" if asked == whole else ".data/results"
    return Plan(
        peers=named,
        workloads=() if overloads == "only" else loads,
        connections=connections,
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
    parser.add_argument("--concurrency", default=CONNECTIONS, help="connections of the loads")
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


def _counts(parser: argparse.ArgumentParser, given: str) -> tuple[int, ...]:
    """Numbers of connections, in the order given, each once."""
    words = dict.fromkeys(given.split(","))
    if not all(word.isascii() and word.isdecimal() and int(word) for word in words):
        parser.error(f"{given} are no numbers of connections")
    return tuple(map(int, words))
