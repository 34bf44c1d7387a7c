"""What consistent hashing by model name brings: `make bench-sharding`.

A simulation, seeded: many models, more than fit into one pod; requests whose models are as popular
as Zipf's law has it; pods that each keep the models they used last. Told are, under plain and
under consistent balancing, how many requests find their model loaded, how much more than the
mean the busiest pod has to do, and how many of the models move when a pod is added.
"""

from __future__ import annotations

import argparse
import bisect
import hashlib
import itertools
import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

POINTS: Final = 160
"""Of each pod on the ring, as nginx has them."""
SEED: Final = 6

Choice = Callable[[str], int]
"""Name of a model -> the pod that is asked."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """How large all is."""

    models: int = 200
    pods: int = 4
    room: int = 50
    """Models that fit into one pod."""
    requests: int = 100_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one way to balance."""

    hit_rate: float
    busiest: float
    """Requests of the busiest pod by the mean."""


class Ring:
    """Consistent hashing: a key belongs to the next point, of whichever pod."""

    def __init__(self, pods: int) -> None:
        points = [(_hash(f"{pod}-{n}"), pod) for pod in range(pods) for n in range(POINTS)]
        self._places, self._pods = zip(*sorted(points), strict=True)

    def owners(self, key: str, count: int = 1) -> list[int]:
        """The first `count` different pods from the key on."""
        start = bisect.bisect(self._places, _hash(key)) % len(self._places)
        around = itertools.chain(self._pods[start:], self._pods[:start])
        return list(itertools.islice(dict.fromkeys(around), count))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.md5(text.encode()).digest()[:4], "big")


def popular(fleet: Fleet, chance: random.Random) -> Iterator[str]:
    """Names of models as requests come: the n-th is asked for 1/n as often as the first."""
    names = [f"model-{n}" for n in range(fleet.models)]
    weights = [1 / (n + 1) for n in range(fleet.models)]
    return iter(chance.choices(names, weights, k=fleet.requests))


def balanced(fleet: Fleet, requests: Iterator[str], choice: Choice) -> Outcome:
    """Each pod has `room`; the one that was used longest ago goes first."""
    pods: list[OrderedDict[str, None]] = [OrderedDict() for _ in range(fleet.pods)]
    hits, asked = 0, Counter[int]()
    for model in requests:
        pod = choice(model)
        asked[pod] += 1
        loaded = pods[pod]
        if model in loaded:
            hits += 1
            loaded.move_to_end(model)
            continue
        loaded[model] = None
        if len(loaded) > fleet.room:
            loaded.popitem(last=False)
    return Outcome(hits / fleet.requests, max(asked.values()) * fleet.pods / fleet.requests)


def ways(fleet: Fleet, chance: random.Random) -> dict[str, Choice]:
    """What balances: by its name."""
    ring = Ring(fleet.pods)
    owners = {f"model-{n}": ring.owners(f"model-{n}", 2) for n in range(fleet.models)}
    return {
        "plain": lambda _: chance.randrange(fleet.pods),
        "hashed": lambda model: owners[model][0],
        "hashed, two pods each": lambda model: chance.choice(owners[model]),
    }


def measured(fleet: Fleet) -> dict[str, Outcome]:
    """Each way, with the same requests."""
    return {
        name: balanced(fleet, popular(fleet, random.Random(SEED)), choice)
        for name, choice in ways(fleet, random.Random(SEED)).items()
    }


def moved(fleet: Fleet) -> float:
    """The share of the models that another pod answers for when one is added."""
    before, after = Ring(fleet.pods), Ring(fleet.pods + 1)
    names = [f"model-{n}" for n in range(fleet.models)]
    return sum(before.owners(n) != after.owners(n) for n in names) / fleet.models


def table(fleets: Sequence[Fleet]) -> str:
    """In Markdown, as in the README of the chart."""
    heads = ("models", "pods", "fit into a pod", "balanced", "loaded when asked for")
    rows = [f"| {' | '.join(heads)} | busiest pod to mean |", "|---|---|---|---|---|---|"]
    for fleet in fleets:
        for name, told in measured(fleet).items():
            size = f"{fleet.models:,} | {fleet.pods} | {fleet.room}"
            rows.append(f"| {size} | {name} | {told.hit_rate:.1%} | {told.busiest:.2f} |")
    return "\n".join(rows)


FLEETS: Final = (Fleet(), Fleet(models=1000, pods=8, room=50))


def main() -> None:
    """See the module's docstring."""
    argparse.ArgumentParser("python -m bench.sharding").parse_args()
    print(table(FLEETS))
    for fleet in FLEETS:
        print(f"of {fleet.models:,} models on {fleet.pods} pods, {moved(fleet):.0%} move")


if __name__ == "__main__":
    main()
