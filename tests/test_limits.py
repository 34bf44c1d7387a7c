"""Who gets in, with how much, for how long: what is refused, and that the counts add up."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import (
    BodyTooLarge,
    ClientLeft,
    Overloaded,
    ServingError,
    TooManyRequests,
)
from app.limits import LARGE_BODY_BYTES, Limits
from app.turns import READING_S
from tests.serving import GIVE_UP_S, limits_of, never, sending


def test_one_more_than_may_be_in_flight_is_refused_at_once_and_told_when_to_come_back() -> None:
    limits = limits_of(max_in_flight=1)

    with limits.admit(None), pytest.raises(Overloaded) as caught, limits.admit(None):
        pass
    with limits.admit(None):
        pass

    assert caught.value.status == 503
    assert caught.value.retry_after_s == 1
    assert limits.shed == 1


def test_each_caller_has_a_limit_of_its_own() -> None:
    limits = limits_of(client_max_in_flight=1)

    with limits.admit("key-1"), limits.admit("key-2"), limits.admit(None), limits.admit(None):
        with pytest.raises(TooManyRequests) as caught, limits.admit("key-1"):
            pass
        assert limits.in_flight == 4
    with limits.admit("key-1"):
        pass

    assert (caught.value.status, caught.value.retry_after_s) == (429, 1)
    assert limits.shed == 0


async def read(limits: Limits, *chunks: bytes, told: int | None = None) -> bytes:
    with limits.admit(None) as slot:
        body = await slot.read(sending(*chunks), told)
        assert limits.body_bytes == max(len(body), told or 0)
        return body


@pytest.mark.parametrize("told", [None, 6, 5, 9], ids=["chunked", "true", "too low", "too high"])
async def test_a_body_is_counted_while_it_is_held_whatever_its_length_was_told_as(
    told: int | None,
) -> None:
    limits = limits_of()

    assert await read(limits, b"abc", b"", b"def", told=told) == b"abcdef"
    assert limits.body_bytes == 0


async def test_a_body_told_too_large_is_refused_before_it_is_read() -> None:
    limits = limits_of(max_body_bytes=5)

    with pytest.raises(BodyTooLarge) as caught, limits.admit(None) as slot:
        await asyncio.wait_for(slot.read(never, 6), GIVE_UP_S)

    assert caught.value.status == 413
    assert limits.body_bytes == 0


@pytest.mark.parametrize("told", [None, 2], ids=["chunked", "told smaller"])
async def test_a_body_that_grows_too_large_is_refused_as_it_comes(told: int | None) -> None:
    limits = limits_of(max_body_bytes=5)

    with pytest.raises(BodyTooLarge), limits.admit(None) as slot:
        await slot.read(sending(b"abc", b"def", b"never read"), told)

    assert limits.body_bytes == 0


async def test_a_body_of_exactly_the_limit_is_taken() -> None:
    assert await read(limits_of(max_body_bytes=6, body_memory_bytes=6), b"abcdef", told=6)


@pytest.mark.parametrize("told", [None, 4], ids=["chunked", "told"])
async def test_bodies_that_together_are_too_large_are_refused_with_503(told: int | None) -> None:
    limits = limits_of(body_memory_bytes=8)

    with limits.admit(None) as first, limits.admit(None) as second:
        await first.read(sending(b"12345"), 5)
        with pytest.raises(Overloaded) as caught:
            await second.read(sending(b"1234"), told)
        assert limits.body_bytes == 5
    assert (caught.value.status, caught.value.retry_after_s) == (503, 1)
    assert limits.shed == 1
    assert await read(limits, b"12345678")


async def test_large_bodies_are_read_in_turns_until_they_are_decoded() -> None:
    limits = limits_of(max_body_bytes=10**9, body_memory_bytes=10**9)
    large = 8 * 1024**2

    with limits.admit(None) as first, limits.admit(None) as second, limits.admit(None) as third:
        await first.read(sending(b"x"), large)
        other = asyncio.create_task(second.read(sending(b"y"), LARGE_BODY_BYTES))
        await asyncio.sleep(READING_S * 2)
        assert (other.done(), limits.body_bytes) == (False, large)
        assert await third.read(sending(b"small"), 5) == b"small"
        first.end_turn()
        assert await asyncio.wait_for(other, GIVE_UP_S) == b"y"
    with limits.admit(None) as last:
        assert await asyncio.wait_for(last.read(sending(b"z"), large), GIVE_UP_S) == b"z"


async def test_a_client_that_leaves_in_mid_body_is_no_bad_request() -> None:
    limits = limits_of()

    with pytest.raises(ClientLeft) as caught, limits.admit("key-1") as slot:
        await slot.read(sending(b"abc", is_left=True), 6)

    assert caught.value.status == 499
    assert (limits.in_flight, limits.body_bytes) == (0, 0)


Visit = tuple[str | None, int | None, list[int], str]
VISITS = st.lists(
    st.tuples(
        st.sampled_from([None, "key-1", "key-2"]),
        st.one_of(st.none(), st.integers(0, 12)),
        st.lists(st.integers(0, 6), max_size=4),
        st.sampled_from(["answer", "raise", "cancel", "leave", "hang"]),
    ),
    max_size=20,
)


async def visit(limits: Limits, given: Visit, gate: asyncio.Event) -> None:
    caller, told, sizes, end = given
    with limits.admit(caller) as slot:
        chunks = [b"x" * size for size in sizes] or [b""]
        await slot.read(sending(*chunks, is_left=end == "leave"), told)
        if end == "raise":
            raise ValueError
        if end in ("hang", "cancel"):
            await gate.wait()


async def play(visits: list[Visit]) -> None:
    limits = limits_of(
        max_in_flight=6, client_max_in_flight=2, body_memory_bytes=30, max_body_bytes=15
    )
    gate = asyncio.Event()
    tasks = []
    for each in visits:
        tasks.append(asyncio.create_task(visit(limits, each, gate)))
        await asyncio.sleep(0)
        assert 0 <= limits.in_flight <= 6
        assert 0 <= limits.body_bytes <= 30
        if each[-1] == "cancel":
            tasks[-1].cancel()
    gate.set()
    for task in tasks:
        with suppress(ServingError, ValueError, asyncio.CancelledError):
            await task
    assert (limits.in_flight, limits.body_bytes) == (0, 0)
    with limits.admit("key-1"), limits.admit("key-1"):
        assert limits.in_flight == 2


@settings(max_examples=100, deadline=None)
@given(visits=VISITS)
def test_whoever_came_in_is_counted_out_however_it_ended(visits: list[Visit]) -> None:
    asyncio.run(play(visits))
