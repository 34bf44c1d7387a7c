"""Deadlines: what is raised, when the timer is set, and whose cancellation it was."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from app.deadline import Deadline
from app.errors import DeadlineExceeded, ModelLoading, ServingError
from app.telemetry import Trace
from tests.serving import GIVE_UP_S, never


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
        assert await deadline(0.1).bound(work(pause_s)) == "done"
        with pytest.raises(ValueError, match="mine"):
            await deadline(0.1).bound(work(pause_s, ValueError("mine")))

    await asyncio.sleep(0.15)


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
