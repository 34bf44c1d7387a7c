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
    DeadlineExceeded,
    ModelLoading,
    Overloaded,
    ServingError,
    TooManyRequests,
)
from app.limits import Deadline, Limits
from app.telemetry import Trace
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


def deadline(timeout_s: float, phase: str = "decode") -> Deadline:
    trace = Trace("POST")
    trace.enter(phase)
    return Deadline(timeout_s, trace)


@pytest.mark.parametrize(
    ("phase", "error", "text", "retry_after_s"),
    [
        ("admit", DeadlineExceeded, "the body did not arrive within 0.001 s", None),
        ("model", ModelLoading, "the model was not loaded within 0.001 s", 5),
        ("queue", DeadlineExceeded, "phase: queue", None),
    ],
)
async def test_a_deadline_says_what_was_waited_for(
    phase: str, error: type[ServingError], text: str, retry_after_s: float | None
) -> None:
    with pytest.raises(error, match=text) as caught:
        await deadline(0.001, phase).bound(never())

    assert caught.value.retry_after_s == retry_after_s
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@pytest.mark.parametrize(("by", "is_lower"), [(0.001, True), (None, False), (99.0, False)])
async def test_a_deadline_can_only_be_lowered(by: float | None, is_lower: bool) -> None:
    timeout_s = GIVE_UP_S if is_lower else 0.005

    async def wait(pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        until.lower(by)
        await never()

    for pause_s in (0.0, 0.0001):  # before its timer is set, and after
        until = deadline(timeout_s)
        with pytest.raises(DeadlineExceeded, match=r"0\.001" if is_lower else r"0\.005"):
            await until.bound(wait(pause_s))


async def test_a_deadline_that_is_met_changes_nothing() -> None:
    async def work(pause_s: float, error: Exception | None = None) -> str:
        if pause_s:
            await asyncio.sleep(pause_s)
        if error is not None:
            raise error
        return "done"

    for pause_s in (0.0, 0.0001):
        assert await deadline(0.002).bound(work(pause_s)) == "done"
        with pytest.raises(ValueError, match="mine"):
            await deadline(0.002).bound(work(pause_s, ValueError("mine")))

    await asyncio.sleep(0.005)


async def test_work_that_ends_as_its_deadline_passes_leaves_no_cancellation_behind() -> None:
    async def work() -> str:
        with suppress(asyncio.CancelledError):
            await never()
        return "done"

    assert await deadline(0.001).bound(work()) == "done"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_who_cancels_a_task_is_obeyed_also_when_its_deadline_passes() -> None:
    inside = asyncio.Event()

    async def work() -> None:
        inside.set()
        await never()

    async def bounded() -> None:
        await deadline(0.0).bound(work())

    task = asyncio.create_task(bounded())
    await inside.wait()
    asyncio.get_running_loop().call_soon(task.cancel)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_deadline_inside_a_timeout_leaves_the_timeout_its_own() -> None:
    async def wait() -> None:
        await deadline(GIVE_UP_S).bound(never())

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wait(), 0.001)
