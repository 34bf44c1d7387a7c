"""Joining calls and running them in threads: each caller gets its own answer, or its own error."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import AsyncIterator
from functools import partial

import numpy as np
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from app.batching import Batcher, Predicted, Workers, split
from app.errors import ModelFailed, ModelUnavailable
from app.telemetry import Trace
from app.tensors import Batch, Prediction
from tests.serving import GIVE_UP_S, Held, batch_of, until

Y = ("y",)


@pytest_asyncio.fixture
async def held() -> AsyncIterator[Held]:
    model = Held()
    yield model
    model.let_go()


def batcher(
    model: Held, workers: Workers | None = None, max_rows: int = 8, threads: int = 1
) -> Batcher:
    return Batcher(model, "m:1", workers or Workers(1), max_rows=max_rows, threads=threads)


def call(to: Batcher, *values: float, outputs: tuple[str, ...] = Y) -> asyncio.Task[Predicted]:
    return asyncio.create_task(to.predict(batch_of(*values), outputs, Trace("POST")))


async def busy(model: Held, to: Batcher) -> asyncio.Task[Predicted]:
    """The one thread is inside the model; what is called now waits and is joined."""
    model.hold()
    first = call(to, 0.0)
    await model.entered.acquire()
    return first


async def answers(*calls: asyncio.Task[Predicted]) -> list[list[float]]:
    async with asyncio.timeout(GIVE_UP_S):
        return [[float(v) for v in (await c).prediction["y"]] for c in calls]


async def test_an_idle_thread_starts_a_call_at_once_and_alone(held: Held) -> None:
    assert await answers(call(batcher(held), 1.0, 2.0)) == [[2.0, 4.0]]
    assert held.calls == [[1.0, 2.0]]


async def test_calls_that_wait_are_joined_and_each_gets_its_own_rows(held: Held) -> None:
    to = batcher(held)
    first = await busy(held, to)
    others = [call(to, 1.0), call(to, 2.0, 3.0), call(to, 4.0)]
    await asyncio.sleep(0)
    held.let_go()

    assert await answers(first, *others) == [[0.0], [2.0], [4.0, 6.0], [8.0]]
    assert held.calls == [[0.0], [1.0, 2.0, 3.0, 4.0]]
    assert others[0].result().batch_rows == 4


async def test_of_three_in_one_running_batch_one_cancels_and_the_others_answer(held: Held) -> None:
    to = batcher(held)
    first = await busy(held, to)
    one, two, three = call(to, 1.0), call(to, 2.0), call(to, 3.0)
    held.let_go()
    await first
    held.hold()
    await held.entered.acquire()
    two.cancel()
    with pytest.raises(asyncio.CancelledError):
        await two
    held.let_go()

    assert await answers(one, three) == [[2.0], [6.0]]


async def test_who_leaves_the_queue_is_never_predicted_and_holds_no_memory(held: Held) -> None:
    to = batcher(held)
    first = await busy(held, to)
    batch = batch_of(5.0)
    gone = weakref.ref(batch.arrays["x"])
    leaving = asyncio.create_task(to.predict(batch, Y, Trace("POST")))
    staying = call(to, 6.0)
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    del batch, leaving
    await asyncio.sleep(0)
    gc.collect()

    assert gone() is None
    held.let_go()
    assert await answers(first, staying) == [[0.0], [12.0]]
    assert held.calls == [[0.0], [6.0]]


async def test_who_leaves_as_its_turn_comes_is_passed_over(held: Held) -> None:
    to = batcher(held)
    first = await busy(held, to)
    leaving, staying = call(to, 5.0), call(to, 6.0)
    await asyncio.sleep(0)
    held.let_go()
    leaving.cancel()  # it has not left the queue before it runs the next time
    group = to.take()
    to.give(group, to.run(group))

    assert await answers(first, staying) == [[0.0], [12.0]]
    assert held.calls == [[0.0], [6.0]]


async def test_a_bad_call_in_a_joint_batch_fails_alone(held: Held) -> None:
    to = batcher(held)
    first = await busy(held, to)
    one, bad, two = call(to, 1.0), call(to, 13.0), call(to, 2.0)
    await asyncio.sleep(0)
    held.let_go()

    assert await answers(first, one, two) == [[0.0], [2.0], [4.0]]
    with pytest.raises(ModelFailed, match="ValueError"):
        await bad
    assert held.calls == [[0.0], [1.0, 13.0, 2.0], [1.0], [13.0], [2.0]]


async def test_who_leaves_a_failed_joint_call_is_not_tried_alone(held: Held) -> None:
    to = batcher(held)
    first = await busy(held, to)
    bad, leaving = call(to, 13.0), call(to, 1.0)
    held.let_go()
    await first
    held.hold()
    await held.entered.acquire()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    held.let_go()

    with pytest.raises(ModelFailed):
        await bad
    assert [1.0] not in held.calls


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), StopIteration()])
async def test_whatever_a_model_raises_fails_one_call_and_not_the_thread(
    held: Held, error: BaseException
) -> None:
    held.error = error
    to = batcher(held)

    with pytest.raises(ModelFailed, match=type(error).__name__) as caught:
        await call(to, 13.0)

    assert caught.value.__cause__ is None  # its traceback would keep the rows in memory
    assert await answers(call(to, 1.0)) == [[2.0]]


async def test_what_a_failing_model_says_is_in_the_log_and_not_in_the_answer(
    held: Held, caplog: pytest.LogCaptureFixture
) -> None:
    held.error = ValueError("at /srv/models/x.pkl")

    with pytest.raises(ModelFailed) as caught:
        await call(batcher(held), 13.0)

    assert "/srv" not in str(caught.value)
    assert "at /srv/models/x.pkl" in caplog.text


@pytest.mark.parametrize(
    ("sizes", "joint"),
    [([3, 3, 3], [6, 3]), ([8, 1], [8, 1]), ([6, 3, 2], [8, 3]), ([1] * 20, [8, 8, 4])],
)
async def test_rows_are_counted_and_a_batch_never_has_more_than_max_rows(
    held: Held, sizes: list[int], joint: list[int]
) -> None:
    to = batcher(held, max_rows=8)
    calls = [await busy(held, to), *(call(to, *[1.0] * size) for size in sizes)]
    await asyncio.sleep(0)
    held.let_go()
    await answers(*calls)

    assert [len(rows) for rows in held.calls[1:]] == joint


async def test_a_call_larger_than_max_rows_runs_alone(held: Held) -> None:
    to = batcher(held, max_rows=4)
    first = await busy(held, to)
    large, small = call(to, *[1.0] * 9), call(to, 2.0)
    await asyncio.sleep(0)
    held.let_go()

    await answers(first, large, small)
    assert held.calls[1:] == [[1.0] * 9, [2.0]]


@pytest.mark.parametrize(
    "other",
    [np.zeros((1, 2)), np.zeros(1, np.float32), np.zeros((1, 1))],
    ids=["row shape", "dtype", "axes"],
)
async def test_only_equal_row_shapes_and_types_are_joined(
    held: Held, other: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> None:
    to = batcher(held)
    first = await busy(held, to)
    different = asyncio.create_task(to.predict(Batch({"x": other}, 1), Y, Trace("POST")))
    same = call(to, 1.0)
    later = call(to, 2.0)
    await asyncio.sleep(0)
    held.let_go()

    await asyncio.gather(first, different, same, later)
    assert [1.0, 2.0] in held.calls
    assert len(held.calls) == 3


async def test_two_models_with_full_queues_share_one_thread_in_turn() -> None:
    workers, turns = Workers(1), list[str]()

    def note(name: str, _: object) -> None:
        turns.append(name)

    models = {name: Held() for name in "ab"}
    batchers = {n: batcher(m, workers, max_rows=1) for n, m in models.items()}
    first = await busy(models["a"], batchers["a"])
    calls = [call(batchers[name], 1.0) for name in "aaaabbbb"]
    for name, task in zip("aaaabbbb", calls, strict=True):
        task.add_done_callback(partial(note, name))
    await asyncio.sleep(0)
    models["a"].let_go()
    await answers(first, *calls)

    assert "".join(turns) == "babababa"


async def test_two_models_that_may_have_every_thread_get_one_of_two_each() -> None:
    workers = Workers(2)
    before, *models = (Held() for _ in range(3))
    to, *batchers = (batcher(m, workers, max_rows=1, threads=2) for m in (before, *models))
    before.hold()
    calls = [call(to, 0.0), call(to, 0.0)]
    await before.entered.acquire()
    await before.entered.acquire()
    for model, to in zip(models, batchers, strict=True):
        model.hold()
        calls += [call(to, 1.0), call(to, 2.0)]
    await asyncio.sleep(0)
    before.let_go()
    for model in models:
        await asyncio.wait_for(model.entered.acquire(), GIVE_UP_S)

    assert [model.calls for model in models] == [[[1.0]], [[1.0]]]
    for model in models:
        model.let_go()
    await answers(*calls)


@pytest.mark.parametrize(("threads", "inside"), [(1, 1), (2, 2), (9, 3)])
async def test_a_model_is_called_by_as_many_threads_as_it_may(threads: int, inside: int) -> None:
    held, other = Held(), Held()
    workers = Workers(3)
    to = batcher(held, workers, max_rows=1, threads=threads)
    held.hold()
    calls = [call(to, float(i)) for i in range(6)]
    for _ in range(inside):
        await held.entered.acquire()
    if threads < workers.threads:
        assert await answers(call(batcher(other, workers), 1.0)) == [[2.0]]
    await asyncio.sleep(0)

    assert len(held.calls) == inside
    held.let_go()
    await answers(*calls)
    assert sorted(held.calls) == [[float(i)] for i in range(6)]


class Odd(Held):
    """What its joint calls give has one row; `split` cannot share it out."""

    def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        told = super().predict(batch, outputs)
        return told if batch.rows == 1 else {name: self.spoil(told[name]) for name in told}

    def spoil(self, output: object) -> object:
        assert isinstance(output, np.ndarray)
        return output[:1]


class Sequences(Odd):
    """Its outputs are lists."""

    def spoil(self, output: object) -> object:
        assert isinstance(output, np.ndarray)
        return [float(value) for value in output]


@pytest.mark.parametrize("kind", [Odd, Sequences])
async def test_an_output_that_cannot_be_shared_out_is_asked_for_call_by_call(
    kind: type[Odd],
) -> None:
    model = kind()
    to = batcher(model)
    calls = [await busy(model, to), call(to, 1.0), call(to, 2.0)]
    await asyncio.sleep(0)
    model.let_go()

    assert await answers(*calls) == [[0.0], [2.0], [4.0]]
    assert model.calls == [[0.0], [1.0, 2.0], [1.0], [2.0]]


@pytest.mark.parametrize("output", [[1.0, 2.0], np.float64(1), np.zeros(3), None])
def test_split_refuses_what_has_not_one_entry_per_row(output: object) -> None:
    with pytest.raises(ValueError, match="'y' has not one entry per row"):
        split({"y": output}, [1, 1])


async def test_closing_answers_who_waits_and_lets_who_runs_end(held: Held) -> None:
    workers = Workers(1)
    to, other = batcher(held, workers), batcher(Held(), workers)
    running = await busy(held, to)
    waiting = [call(to, 1.0), call(other, 2.0)]
    await asyncio.sleep(0)
    workers.close()
    held.let_go()

    assert await answers(running) == [[0.0]]
    for task in [*waiting, call(to, 3.0)]:
        with pytest.raises(ModelUnavailable, match="stopping"):
            await asyncio.wait_for(task, GIVE_UP_S)


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_outlives_its_loop_ends_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def begin() -> Held:
        model = Held()
        running = await busy(model, batcher(model))
        running.cancel()
        return model

    before = set(threading.enumerate())
    model = asyncio.run(begin())
    (worker,) = set(threading.enumerate()) - before
    model.let_go()
    worker.join(0.2)  # it waits for work that will not come

    assert caplog.records == []
    assert worker.daemon


async def test_an_idle_thread_keeps_no_model_in_memory() -> None:
    workers = Workers(1)
    model = Held()
    gone = weakref.ref(model)
    await answers(call(batcher(model, workers), 1.0))
    del model

    def is_gone() -> bool:
        gc.collect()
        return gone() is None

    await until(is_gone)


async def test_the_trace_tells_queue_and_predict_apart_also_when_the_model_raises(
    held: Held,
) -> None:
    to = batcher(held)
    traces = [Trace("POST"), Trace("POST")]
    first = await busy(held, to)
    calls = [
        asyncio.create_task(to.predict(batch_of(value), Y, trace))
        for value, trace in zip((1.0, 13.0), traces, strict=True)
    ]
    await asyncio.sleep(0)
    held.let_go()
    await asyncio.gather(first, *calls, return_exceptions=True)

    for trace in traces:
        assert {"queue", "predict"} <= trace.phases.keys()
        assert trace.phase == "deliver"
        assert trace.batch_rows == 1  # after the joint call failed


@pytest.mark.parametrize(("is_inside", "phase"), [(True, "predict"), (False, "queue")])
async def test_the_trace_of_who_leaves_says_whether_the_model_ran(
    held: Held, is_inside: bool, phase: str
) -> None:
    to, trace = batcher(held), Trace("POST")
    first = None if is_inside else await busy(held, to)
    held.hold()
    leaving = asyncio.create_task(to.predict(batch_of(1.0), Y, trace))
    await (held.entered.acquire() if is_inside else asyncio.sleep(0))
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    held.let_go()

    assert trace.phase == phase
    assert first is None or await answers(first)


Op = tuple[list[float], tuple[str, ...], bool, bool]
OPS = st.lists(
    st.tuples(
        st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0, 13.0]), min_size=1, max_size=6),
        st.sampled_from([("y",), ("z",), ("y", "z")]),
        st.booleans(),  # the caller leaves
        st.booleans(),  # the loop runs before the next call
    ),
    min_size=1,
    max_size=30,
)


def check(answer: object, op: Op) -> None:
    values, outputs, leaves, _ = op
    if leaves:
        assert isinstance(answer, asyncio.CancelledError)
    elif 13.0 in values:
        assert isinstance(answer, ModelFailed)
    else:
        assert isinstance(answer, Predicted)
        for name in outputs:
            wanted = [2 * v if name == "y" else -v for v in values]
            assert answer.prediction[name].tolist() == wanted


async def play(ops: list[Op], max_rows: int, threads: int) -> None:
    model, workers = Held(), Workers(threads)
    to = batcher(model, workers, max_rows=max_rows, threads=threads)
    model.hold()
    calls = []
    for values, outputs, _, pauses in ops:
        calls.append(call(to, *values, outputs=outputs))
        if pauses:
            await asyncio.sleep(0)
    for task, (*_, leaves, _) in zip(calls, ops, strict=True):
        if leaves:
            task.cancel()
    model.let_go()
    async with asyncio.timeout(GIVE_UP_S):
        got = await asyncio.gather(*calls, return_exceptions=True)
    for answer, op in zip(got, ops, strict=True):
        check(answer, op)
    assert all(len(rows) <= max(max_rows, *(len(v) for v, *_ in ops)) for rows in model.calls)
    workers.close()


@settings(max_examples=80, deadline=None)
@given(ops=OPS, max_rows=st.integers(1, 12), threads=st.integers(1, 3))
def test_every_caller_gets_its_own_whatever_the_others_do(
    ops: list[Op], max_rows: int, threads: int
) -> None:
    logging.getLogger("app.batching").setLevel(logging.CRITICAL)
    try:
        asyncio.run(play(ops, max_rows, threads))
    finally:
        logging.getLogger("app.batching").setLevel(logging.NOTSET)
