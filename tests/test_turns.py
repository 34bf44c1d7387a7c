"""Turns: first come first served, never too many bytes, nothing lost when callers leave."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.turns import READING_S, Turn, Turns

SIZES = st.lists(st.integers(1, 15), min_size=1, max_size=12)


async def begun(turns: Turns, size_bytes: int) -> Turn:
    turn = await turns.begin(size_bytes)
    turn.hold()
    return turn


async def play(sizes: list[int], leaving: set[int]) -> list[int]:
    """The order in which turns came, of which at most 10 bytes are had at once."""
    turns, order, had = Turns(10), list[int](), 0

    async def one(number: int, size: int) -> None:
        nonlocal had
        turn = await begun(turns, size)
        order.append(number)
        had += min(size, 10)
        try:
            assert had <= 10
            await asyncio.sleep(0)
        finally:
            had -= min(size, 10)
            turn.end()
            turn.end()

    tasks = [asyncio.create_task(one(number, size)) for number, size in enumerate(sizes)]
    await asyncio.sleep(0)
    for number in leaving:
        tasks[number].cancel()
    for ended in await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5):
        assert not isinstance(ended, AssertionError)
    assert (await asyncio.wait_for(begun(turns, 10), 1)) is not None  # all of it is free again
    return order


@settings(max_examples=200, deadline=None)
@given(sizes=SIZES, data=st.data())
def test_turns_come_in_order_and_never_too_many_at_once(
    sizes: list[int], data: st.DataObject
) -> None:
    leaving = data.draw(st.sets(st.integers(0, len(sizes) - 1)))

    order = asyncio.run(play(sizes, leaving))

    assert order == sorted(order)
    assert set(order) >= set(range(len(sizes))) - leaving


async def test_a_body_that_is_long_in_coming_loses_its_turn_one_that_has_come_does_not() -> None:
    turns = Turns(10)
    slow = await turns.begin(10)
    started = time.monotonic()
    held = await begun(turns, 10)
    took_s = time.monotonic() - started
    slow.end()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(turns.begin(1), READING_S * 3)

    assert READING_S * 0.9 < took_s < 1
    held.end()
    await turns.begin(10)
