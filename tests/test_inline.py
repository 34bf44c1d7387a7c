"""The one exception from worker threads: calls that are shorter than the hop to one."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from app.batching import Batcher, Predicted, Workers
from app.batching.workers import HOP_S, INLINE_S, TURN_S
from app.errors import ModelFailed
from app.runtimes.sklearn.model import SklearnModel
from app.telemetry import Trace
from app.tensors import Batch, Prediction, Signature, TensorSpec
from tests import models
from tests.serving import batch_of

X = TensorSpec("x", "float64", (None,))


class Threads:
    """y = x, and remembers in which thread it was called, with how many rows."""

    signature = Signature((X,), (TensorSpec("y", "float64", (None,)),), result="y")
    is_steady = True

    def __init__(self) -> None:
        self.names: list[str] = []
        self.rows: list[int] = []

    def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        self.names.append(threading.current_thread().name)
        self.rows.append(batch.rows)
        if (batch.arrays["x"] == 13).any():
            raise ValueError("13")
        return {"y": batch.arrays["x"]}


def batcher(model: Threads, workers: Workers, expected_s: float) -> Batcher:
    return Batcher(model, "m:1", workers, max_rows=64, threads=1, expected_s=expected_s)


async def ask(to: Batcher, *values: float) -> Predicted:
    batch, trace = batch_of(*values), Trace("POST")
    return to.predict_now(batch, ("y",), trace) or await to.predict(batch, ("y",), trace)


async def test_a_short_call_runs_on_the_loop_when_nothing_else_runs() -> None:
    model, workers = Threads(), Workers(1)

    answer = await ask(batcher(model, workers, expected_s=1e-6), 1.0)

    assert answer.prediction["y"].tolist() == [1.0]
    assert model.names == [threading.main_thread().name]


@pytest.mark.parametrize(
    ("expected_s", "values"), [(INLINE_S * 2, [1.0]), (float("inf"), [1.0]), (1e-6, [1.0] * 5)]
)
async def test_a_long_call_or_one_of_many_rows_runs_in_a_thread(
    expected_s: float, values: list[float]
) -> None:
    model = Threads()

    await ask(batcher(model, Workers(1), expected_s), *values)

    assert model.names == ["predict-1"]


@pytest.mark.parametrize(
    ("expected_s", "spent_s"),
    [(HOP_S * 2, HOP_S), (HOP_S / 2, TURN_S), (HOP_S, TURN_S - HOP_S / 2)],
)
async def test_later_calls_in_a_turn_are_short_ones_and_few(
    expected_s: float, spent_s: float
) -> None:
    model, workers = Threads(), Workers(1)
    to = batcher(model, workers, expected_s)

    workers.inlined(spent_s)
    await ask(to, 1.0)
    await asyncio.sleep(0)
    await ask(to, 2.0)

    assert model.names == ["predict-1", threading.main_thread().name]


async def test_many_short_calls_run_in_one_turn() -> None:
    model, workers = Threads(), Workers(1)
    to = batcher(model, workers, expected_s=1e-6)

    await asyncio.gather(*(ask(to, float(i)) for i in range(5)))

    assert model.names == [threading.main_thread().name] * 5


async def test_a_short_call_is_joined_to_those_that_wait_when_a_thread_is_busy() -> None:
    model, workers = Threads(), Workers(1)
    to = batcher(model, workers, expected_s=1e-6)

    many = asyncio.create_task(ask(to, *[1.0] * 8))
    await asyncio.sleep(0)
    few = [asyncio.create_task(ask(to, float(i))) for i in range(3)]
    answers = await asyncio.gather(*few)
    await many

    assert [a.prediction["y"].tolist() for a in answers] == [[0.0], [1.0], [2.0]]
    assert model.rows == [8, 3]


async def test_a_call_that_raises_on_the_loop_fails_alone() -> None:
    model, workers = Threads(), Workers(1)
    to = batcher(model, workers, expected_s=1e-6)

    with pytest.raises(ModelFailed):
        await ask(to, 13.0)

    assert (await ask(to, 1.0)).batch_rows == 1


class Slow(Threads):
    """Takes `pause_s`."""

    pause_s = 0.0

    def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        time.sleep(self.pause_s)
        return super().predict(batch, outputs)


async def test_a_model_that_was_held_up_for_a_while_is_soon_called_on_the_loop_again() -> None:
    model, workers = Slow(), Workers(1)
    to = batcher(model, workers, expected_s=1e-6)
    threads = []
    for pause_s in [INLINE_S * 3] * 10 + [0.0] * 5:
        model.pause_s = pause_s
        await ask(to, 1.0)
        await asyncio.sleep(0)
        threads.append(model.names[-1])

    assert threads[8:10] == ["predict-1"] * 2
    assert threads[-1] == threading.main_thread().name


def shifted(rows: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> object:
    return rows + 1


@pytest.mark.parametrize(
    ("steps", "is_steady"), [((), True), ((FunctionTransformer(shifted),), False)]
)
def test_an_estimator_is_steady_when_all_its_code_is_of_scikit_learn(
    steps: tuple[object, ...], is_steady: bool, tmp_path: Path
) -> None:
    x = np.random.default_rng(1).normal(size=(40, 2))
    estimator = make_pipeline(*steps, StandardScaler(), LogisticRegression()).fit(x, x[:, 0] > 0)
    folder = models.save_sklearn(tmp_path, estimator)

    model = models.load(folder)

    assert isinstance(model, SklearnModel)
    assert model.is_steady is is_steady
