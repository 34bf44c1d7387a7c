"""Calls of a model that answers from processes of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from app.batching import Relay
from app.errors import ModelFailed
from app.telemetry import Trace
from app.tensors import Batch, Prediction, RawBatch, RawRequest

BATCH = RawBatch.of_request(RawRequest("POST", "/score", b"", ()))


class Processes:
    """Two of them, which answer when the test says so."""

    processes = 2
    resident_bytes = 0
    swagger: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.error: Exception | None = None

    async def answer(
        self, batch: Batch, outputs: tuple[str, ...], began: Callable[[float], None]
    ) -> Prediction:
        began(asyncio.get_running_loop().time())
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return {"reply": "an answer"}


async def test_nobody_waits_while_there_is_a_process_for_each() -> None:
    model = Processes()
    relay = Relay(model, expected_s=3.0)
    tasks = [asyncio.create_task(relay.predict(BATCH, ("reply",), Trace("POST"))) for _ in "123456"]
    waits = []
    for _ in range(2):
        await asyncio.sleep(0)
        waits.append((relay.inside, relay.wait_s()))
        model.may_answer.set()

    assert waits[0] == (6, 6.0)
    await asyncio.gather(*tasks)
    assert (relay.inside, relay.wait_s()) == (0, 0)


async def test_what_calls_take_is_not_known_before_the_first() -> None:
    model = Processes()
    relay = Relay(model)
    tasks = [asyncio.create_task(relay.predict(BATCH, ("reply",), Trace("POST"))) for _ in "1234"]
    await asyncio.sleep(0.05)
    assert (relay.inside, relay.wait_s()) == (4, 0)
    model.may_answer.set()
    await asyncio.gather(*tasks)
    model.may_answer.clear()
    tasks = [asyncio.create_task(relay.predict(BATCH, ("reply",), Trace("POST"))) for _ in "1234"]
    await asyncio.sleep(0)

    assert 0.03 < relay.wait_s() < 0.3
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert relay.inside == 0


@pytest.mark.parametrize("error", [None, ModelFailed("it raised")])
async def test_a_call_is_traced_whether_it_fails_or_not(error: Exception | None) -> None:
    model = Processes()
    model.error = error
    model.may_answer.set()
    trace = Trace("POST")
    if error is None:
        predicted = await Relay(model).predict(BATCH, ("reply",), trace)
        assert predicted.prediction == {"reply": "an answer"}
    else:
        with pytest.raises(ModelFailed):
            await Relay(model).predict(BATCH, ("reply",), trace)

    assert list(trace.phases)[-2:] == ["queue", "predict"]
    assert (trace.phase, trace.batch_rows) == ("deliver", 1)


async def test_a_caller_that_leaves_was_in_the_middle_of_its_prediction() -> None:
    model = Processes()
    trace = Trace("POST")
    task = asyncio.create_task(Relay(model).predict(BATCH, ("reply",), trace))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert trace.phase == "predict"
