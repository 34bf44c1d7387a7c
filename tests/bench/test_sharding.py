"""The simulation of consistent hashing does what it says."""

from __future__ import annotations

import random

from bench.sharding import Fleet, Ring, balanced, measured, moved, popular

SMALL = Fleet(models=40, pods=4, room=10, requests=4000)


def test_hashing_finds_more_models_loaded_than_plain_balancing() -> None:
    told = measured(SMALL)

    assert told["hashed"].hit_rate > told["hashed, two pods each"].hit_rate
    assert told["hashed, two pods each"].hit_rate > told["plain"].hit_rate


def test_a_pod_that_has_room_for_all_loads_each_model_once() -> None:
    roomy = Fleet(models=40, pods=1, room=40, requests=4000)
    asked = list(popular(roomy, random.Random(1)))

    told = balanced(roomy, iter(asked), lambda _: 0)

    assert told.hit_rate == 1 - len(set(asked)) / 4000
    assert told.busiest == 1


def test_a_pod_more_takes_about_its_part_of_the_models() -> None:
    assert 0 < moved(Fleet(models=2000, pods=4)) < 0.4


def test_a_key_belongs_to_different_pods_and_always_to_the_same() -> None:
    ring = Ring(4)

    assert len(set(ring.owners("churn", 4))) == 4
    assert ring.owners("churn", 2) == Ring(4).owners("churn", 2)
    assert {ring.owners(f"model-{n}")[0] for n in range(100)} == {0, 1, 2, 3}
