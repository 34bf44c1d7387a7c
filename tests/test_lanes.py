"""Short calls never wait for long ones, and what waits is known."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence

import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from app.batching import Batcher, Predicted, Workers
from app.batching.backlog import Backlog
from app.batching.calls import Waiting
from app.batching.lanes import LONG_S
from app.telemetry import Trace
from tests.serving import GIVE_UP_S, Held, batch_of

Y = ("y",)


@pytest_asyncio.fixture
async def models() -> AsyncIterator[list[Held]]:
    """Three that are held."""
    models = [Held() for _ in range(3)]
    for model in models:
        model.hold()
    yield models
    for model in models:
        model.let_go()


def batcher(
    model: Held, workers: Workers, expected_s: float = math.inf, threads: int = 1, max_rows: int = 1
) -> Batcher:
    return Batcher(model, "m:1", workers, max_rows=max_rows, threads=threads, expected_s=expected_s)


def call(to: Batcher, *values: float) -> asyncio.Task[Predicted]:
    return asyncio.create_task(to.predict(batch_of(*values), Y, Trace("POST")))


async def answers(*calls: asyncio.Task[Predicted]) -> list[list[float]]:
    async with asyncio.timeout(GIVE_UP_S):
        return [[float(v) for v in (await c).prediction["y"]] for c in calls]


async def test_a_short_call_does_not_wait_for_one_that_turned_out_to_be_long(
    models: list[Held],
) -> None:
    workers, other = Workers(1), Held()
    stuck = call(batcher(models[0], workers), 1.0)
    await models[0].entered.acquire()

    assert await answers(call(batcher(other, workers), 2.0)) == [[4.0]]
    assert not stuck.done()
    models[0].let_go()
    assert await answers(stuck) == [[2.0]]


async def test_several_that_turn_out_to_be_long_do_not_stop_the_short_ones(
    models: list[Held],
) -> None:
    workers, other = Workers(1), Held()
    stuck = [call(batcher(model, workers), 1.0) for model in models]
    for model in models:
        await asyncio.wait_for(model.entered.acquire(), GIVE_UP_S)

    assert await answers(call(batcher(other, workers), 2.0)) == [[4.0]]
    for model in models:
        model.let_go()
    await answers(*stuck)


async def test_calls_known_as_long_run_beside_short_ones_and_as_many_as_there_are_threads(
    models: list[Held],
) -> None:
    workers, other = Workers(2), Held()
    long_ones = [call(batcher(model, workers, LONG_S), 1.0) for model in models]
    for model in models[:2]:
        await asyncio.wait_for(model.entered.acquire(), GIVE_UP_S)

    assert await answers(*(call(batcher(other, workers), float(i)) for i in range(3))) == [
        *([0.0], [2.0], [4.0])
    ]
    assert models[2].calls == []
    models[0].let_go()
    await asyncio.wait_for(models[2].entered.acquire(), GIVE_UP_S)
    models[1].let_go()
    models[2].let_go()
    await answers(*long_ones)


async def test_a_model_that_is_stuck_gets_no_more_threads_than_it_may_have(
    models: list[Held],
) -> None:
    workers = Workers(2)
    to = batcher(models[0], workers, threads=2)
    calls = [call(to, float(i)) for i in range(4)]
    other = batcher(models[1], workers)
    stuck = call(other, 1.0)
    await asyncio.wait_for(models[1].entered.acquire(), GIVE_UP_S)  # so the first are long by now

    assert len(models[0].calls) == 2
    assert (to.inside, other.inside) == (4, 1)
    models[0].let_go()
    models[1].let_go()
    await answers(*calls, stuck)
    assert (to.inside, other.inside) == (0, 0)


async def test_what_calls_took_of_late_says_how_long_the_next_will_wait(models: list[Held]) -> None:
    to = batcher(models[0], Workers(1), expected_s=2.0)
    assert to.wait_s() == 0
    calls = [call(to, float(i)) for i in range(6)]
    await models[0].entered.acquire()

    assert to.wait_s() == 10.0
    models[0].let_go()
    await answers(*calls)
    assert to.wait_s() == 0
    assert not to.is_long


@given(
    counts=st.lists(st.integers(1, 9), max_size=12),
    max_rows=st.integers(1, 12),
    left=st.sets(st.integers(0, 11)),
)
def test_a_backlog_counts_the_full_calls_before_one_that_joins_its_end(
    counts: Sequence[int], max_rows: int, left: set[int]
) -> None:
    async def count() -> tuple[int, int, int]:
        backlog = Backlog(max_rows)
        calls = [Waiting(batch_of(*[0.0] * rows), Y, Trace("POST")) for rows in counts]
        for waiting in calls:
            backlog.add(waiting)
        for i in left & set(range(len(calls))):
            backlog.remove(calls[i])
        stay = len(backlog)
        expected, taken = backlog.model_calls, 0
        while group := backlog.take():
            taken += 1
            stay -= len(group)
        return expected, taken, stay + len(backlog) + backlog.model_calls

    expected, taken, rest = asyncio.run(count())
    assert expected <= taken
    assert rest == 0
    if max_rows == 1:
        assert expected == taken


async def test_what_is_put_back_is_counted_again_and_comes_first() -> None:
    backlog = Backlog(2)
    first, second, third = (Waiting(batch_of(float(i)), Y, Trace("POST")) for i in range(3))
    for waiting in (first, second, third):
        backlog.add(waiting)
    backlog.put_back(backlog.take())

    assert (len(backlog), backlog.model_calls) == (3, 1)
    assert backlog.take() == [first, second]
    assert backlog.empty() == [third]
    assert (len(backlog), backlog.model_calls) == (0, 0)
