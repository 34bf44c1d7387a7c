"""`Engine.infer`: the way of a request, its deadline, its errors and what its trace tells."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.batching import Batcher
from app.catalog import Catalog, Wanted
from app.engine import Engine, Query
from app.errors import (
    BadRequest,
    BodyTooLarge,
    ClientLeft,
    DeadlineExceeded,
    ModelFailed,
    ModelLoading,
    ModelNotFound,
    ModelNotNamed,
    Overloaded,
    SchemaMismatch,
    ServingError,
    TooManyRequests,
)
from app.limits import LARGE_BODY_BYTES
from app.pool import Options
from app.protocols.score import ScoreCodec
from app.schema import Schema
from app.telemetry import Trace
from app.tensors import Call
from tests.serving import (
    GIVE_UP_S,
    Serving,
    Watched,
    ask,
    never,
    query,
    sending,
    serving,
    states,
    until,
    write_broken,
    write_model,
)

ONE = {"data": [[1.0]]}
SHORT_S = 0.02


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    with serving(tmp_path, monkeypatch, threads=1) as parts:
        write_model(parts.folder, "double", "1")
        write_model(parts.folder, "double", "2")
        write_model(parts.folder, "other", "1")
        yield parts


async def ready(parts: Serving, **more: Any) -> tuple[Engine, Watched]:
    """An engine with one model in memory."""
    options = more.pop("options", Options())
    engine = parts.engine(parts.catalog(Wanted("double", options=options)), **more)
    await ask(engine, query(ONE))
    model = parts.models["double"]
    model.calls = 0
    model.entered.clear()
    return engine, model


async def busy(engine: Engine, model: Watched) -> asyncio.Task[Any]:
    """The one thread is inside the model."""
    model.gate.clear()
    first = asyncio.create_task(ask(engine, query({"data": [[9.0]]})))
    await until(model.entered.is_set)
    return first


async def test_a_request_is_answered(parts: Serving) -> None:
    engine, model = await ready(parts)

    assert await ask(engine, query({"data": [[1.0], [2.5]]})) == [[2.0], [5.0]]
    assert model.calls == 1


async def test_zero_rows_never_call_the_model(parts: Serving) -> None:
    engine, model = await ready(parts)
    trace = Trace("POST")

    assert await ask(engine, query({"data": []}), trace) == []
    assert model.calls == 0
    assert (trace.rows, trace.batch_rows) == (0, 0)


@pytest.mark.parametrize(
    ("body", "asked", "answered_by"),
    [
        ({}, {"name": "double"}, "double:2"),
        ({}, {"name": "double", "version": "1"}, "double:1"),
        ({"model_name": "double"}, {"name": "other"}, "other:1"),
        ({"model_version": "2"}, {"name": "double", "version": "1"}, "double:1"),
        ({"model_name": "double"}, {}, "double:2"),
        ({"model_name": "double", "model_version": "1"}, {}, "double:1"),
        ({"model_name": "double", "model_version": 2}, {"version": "1"}, "double:1"),
        ({}, {}, "other:1"),
        ({}, {"version": "1"}, "other:1"),
        ({"model_name": ""}, {}, "other:1"),
    ],
)
async def test_path_and_query_name_the_model_before_the_body_and_that_before_the_default(
    parts: Serving, body: dict[str, Any], asked: dict[str, Any], answered_by: str
) -> None:
    wanted = [Wanted("double"), Wanted("other")]
    engine = parts.engine(parts.catalog(*wanted, default_model="other"))
    trace = Trace("POST")
    await ask(engine, query({**ONE, **body}, **{"name": None, **asked}), trace)

    assert str(trace.ref) == answered_by


@pytest.mark.parametrize(
    ("wanted", "text"),
    [([Wanted("double"), Wanted("other")], "served are: double, other"), ([], "none yet")],
)
async def test_a_request_that_names_none_of_several_is_told_their_names(
    parts: Serving, wanted: list[Wanted], text: str
) -> None:
    with pytest.raises(ModelNotNamed, match=text) as caught:
        await ask(parts.engine(parts.catalog(*wanted)), query(ONE, name=None))

    assert caught.value.status == 400


async def test_a_deadline_that_passes_in_the_queue_is_told_and_the_model_not_called(
    parts: Serving,
) -> None:
    engine, model = await ready(parts)
    first = await busy(engine, model)
    trace = Trace("POST")
    with pytest.raises(DeadlineExceeded, match="phase: queue") as caught:
        await ask(engine, query(ONE, timeout_s=SHORT_S), trace)
    model.gate.set()
    await first

    assert caught.value.status == 504
    assert trace.phase == "queue"
    assert await ask(engine, query(ONE)) == [[2.0]]
    assert model.calls == 2


async def test_a_deadline_that_passes_in_the_model_is_told_so(parts: Serving) -> None:
    engine, model = await ready(parts)
    model.gate.clear()
    trace = Trace("POST")

    with pytest.raises(DeadlineExceeded, match="phase: predict"):
        await ask(engine, query(ONE, timeout_s=SHORT_S), trace)
    assert {"queue", "predict"} <= {*trace.phases, trace.phase}


@pytest.mark.parametrize(
    ("server_s", "caller_s", "model_s"),
    [
        (SHORT_S, None, None),
        (GIVE_UP_S, SHORT_S, None),
        (SHORT_S, GIVE_UP_S, None),
        (GIVE_UP_S, None, SHORT_S),
        (GIVE_UP_S, SHORT_S, GIVE_UP_S),
        (GIVE_UP_S, GIVE_UP_S, SHORT_S),
    ],
)
async def test_the_lowest_of_the_three_deadlines_holds(
    parts: Serving, server_s: float, caller_s: float | None, model_s: float | None
) -> None:
    catalog = parts.catalog(Wanted("double", options=Options(timeout_s=model_s)))
    await catalog.find("double")
    parts.models["double"].gate.clear()
    engine = parts.engine(catalog, timeout_s=server_s)

    with pytest.raises(DeadlineExceeded, match=f"within {SHORT_S:g} s"):
        await ask(engine, query(ONE, timeout_s=caller_s))


async def test_a_deadline_that_passes_while_the_model_loads_says_to_come_back(
    parts: Serving,
) -> None:
    catalog = parts.catalog(Wanted("double"))
    engine = parts.engine(catalog, timeout_s=SHORT_S)
    parts.registry.gate.clear()
    with pytest.raises(ModelLoading) as caught:
        await ask(engine, query(ONE))
    parts.registry.gate.set()
    await until(lambda: states(catalog) == {"double:2": "READY"})

    assert (caught.value.status, caught.value.retry_after_s) == (503, 5)
    assert await ask(parts.engine(catalog), query(ONE)) == [[2.0]]
    assert parts.loads == ["double"]


async def test_a_body_that_does_not_come_in_time_is_504_and_gives_its_place_back(
    parts: Serving,
) -> None:
    engine, _ = await ready(parts, max_in_flight=1)
    trace = Trace("POST")

    with pytest.raises(DeadlineExceeded, match="body did not arrive"):
        await ask(engine, query(ONE, receive=never, timeout_s=SHORT_S), trace)
    assert trace.phase == "admit"
    assert await ask(engine, query(ONE)) == [[2.0]]


async def test_who_cancels_a_request_gets_no_deadline_error(parts: Serving) -> None:
    engine, model = await ready(parts)
    first = await busy(engine, model)
    waiting = asyncio.create_task(ask(engine, query(ONE)))
    await asyncio.sleep(0)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    model.gate.set()
    assert await first == [[18.0]]
    assert model.calls == 1


async def test_one_client_whose_rows_make_the_model_raise_does_not_disturb_others(
    parts: Serving,
) -> None:
    engine, model = await ready(parts)
    model.error = ValueError("at /srv/models")
    with pytest.raises(ModelFailed) as caught:
        await ask(engine, query(ONE))
    model.error = None

    assert caught.value.status == 500  # SERVE_MODEL_FAILURE_STATUS
    assert ModelFailed.status == 502
    assert "/srv" not in str(caught.value)
    assert await ask(engine, query(ONE)) == [[2.0]]


async def test_of_three_in_a_batch_one_with_a_bad_row_alone_is_refused(parts: Serving) -> None:
    engine, model = await ready(parts)
    first = await busy(engine, model)
    rows = ([[1.0]], [["text"]], [[3.0]])
    waiting = [asyncio.create_task(ask(engine, query({"data": row}))) for row in rows]
    await asyncio.sleep(0)
    model.gate.set()
    await first
    one, bad, three = await asyncio.gather(*waiting, return_exceptions=True)

    assert (one, three) == ([[2.0]], [[6.0]])
    assert isinstance(bad, SchemaMismatch)
    assert bad.faults[0].row == 0
    assert model.calls == 2  # the first, and the other two together


class ThreadsSeen(ScoreCodec):
    """Notes the thread of each of its steps."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bool]] = []

    def _note(self, step: str) -> None:
        self.seen.append((step, threading.current_thread() is threading.main_thread()))

    def target(self, body: bytes) -> tuple[str | None, str | None]:
        self._note("target")
        return super().target(body)

    def decode(self, body: bytes, schema: Schema, query: Query) -> Call:
        self._note("decode")
        return super().decode(body, schema, query)

    def encode(self, *given: Any) -> Any:
        self._note("encode")
        return super().encode(*given)


@pytest.mark.parametrize(("rows", "on_loop"), [(1, True), (LARGE_BODY_BYTES // 4, False)])
async def test_large_bodies_are_decoded_and_encoded_off_the_loop(
    parts: Serving, rows: int, on_loop: bool
) -> None:
    engine, _ = await ready(parts)
    codec = ThreadsSeen()
    await engine.infer(query({"data": [[1.0]] * rows}, name=None), codec, Trace("POST"))

    assert codec.seen == [(step, on_loop) for step in ("target", "decode", "encode")]


@pytest.mark.parametrize(
    ("phase", "asked", "error"),
    [
        ("admit", {"content_length": 10**9}, BodyTooLarge),
        ("admit", {"receive": sending(b"{", is_left=True)}, ClientLeft),
        ("decode", {"body": b"{"}, BadRequest),
        ("model", {"name": "nobody"}, ModelNotFound),
        ("decode", {"body": {"data": [["x"]]}}, SchemaMismatch),
        ("deliver", {}, ModelFailed),
    ],
)
async def test_the_phases_of_a_failed_request_add_up_and_end_where_it_failed(
    parts: Serving, phase: str, asked: dict[str, Any], error: type[ServingError]
) -> None:
    engine, model = await ready(parts)
    model.error = ValueError()
    trace = Trace("POST")
    with pytest.raises(error):
        await ask(engine, query(**{"body": ONE, **asked}), trace)
    assert trace.phase == phase
    trace.end(0)

    assert phase in trace.phases
    assert sum(trace.phases.values()) == pytest.approx(trace.duration_s)
    assert (trace.ref is None) == (error is ModelNotFound)


async def test_the_trace_of_an_answer_tells_each_phase_and_the_rows(parts: Serving) -> None:
    engine, _ = await ready(parts)
    trace = Trace("POST")
    await ask(engine, query({"data": [[1.0], [2.0]]}), trace)
    trace.end(200)

    assert list(trace.phases) == [
        *("admit", "model", "decode", "queue", "predict", "deliver", "encode")
    ]
    assert all(seconds >= 0 for seconds in trace.phases.values())
    assert sum(trace.phases.values()) == pytest.approx(trace.duration_s)
    assert (trace.rows, trace.batch_rows, str(trace.ref)) == (2, 2, "double:2")


async def test_the_door_is_shut_before_the_body_is_read(parts: Serving) -> None:
    engine, model = await ready(parts, max_in_flight=1)
    first = await busy(engine, model)
    with pytest.raises(Overloaded) as caught:
        await asyncio.wait_for(ask(engine, query(ONE, receive=never)), GIVE_UP_S)
    model.gate.set()
    await first

    assert caught.value.retry_after_s == 1


async def test_who_could_not_be_answered_in_time_is_refused_at_once(parts: Serving) -> None:
    write_model(parts.folder, "one", manifest="batching: {max_rows: 1}\nthreads: 1")
    engine = parts.engine(parts.catalog())
    assert await ask(engine, query(ONE, "one")) == [[2.0]]
    model = parts.models["one"]
    model.gate.clear()
    model.entered.clear()
    slow = asyncio.create_task(ask(engine, query(ONE, "one")))
    await asyncio.to_thread(model.entered.wait)
    await asyncio.sleep(0.4)
    model.gate.set()
    await slow  # its calls take 50 ms and more, by what is known now
    model.gate.clear()
    waiting = [asyncio.create_task(ask(engine, query(ONE, "one"))) for _ in range(30)]
    await asyncio.sleep(0)

    with pytest.raises(Overloaded, match=r"requests of about 1\.\d s wait.* in 0\.2 s") as caught:
        await ask(engine, query(ONE, "one", timeout_s=0.25, receive=never))
    assert caught.value.retry_after_s in (1, 2)
    model.gate.set()
    assert await asyncio.gather(*waiting) == [[[2.0]]] * 30


async def test_one_slow_model_leaves_places_for_the_others(parts: Serving) -> None:
    write_model(parts.folder, "slow")
    write_model(parts.folder, "quick")
    catalog = parts.catalog(Wanted("slow"), Wanted("quick"))
    engine = parts.engine(catalog, max_in_flight=20)
    for name in ("slow", "quick"):
        assert await ask(engine, query(ONE, name)) == [[2.0]]
    parts.models["slow"].gate.clear()
    asked = [asyncio.create_task(ask(engine, query(ONE, "slow"))) for _ in range(30)]
    done, waiting = await asyncio.wait(asked, timeout=0.05)

    assert {str(task.exception()) for task in done} == {
        "17 requests wait for this model, as many as may while others are served"
    }
    assert len(waiting) == 17
    assert await ask(engine, query(ONE, "quick")) == [[2.0]]
    parts.models["slow"].gate.set()
    assert await asyncio.gather(*waiting) == [[[2.0]]] * 17


async def test_the_only_model_may_have_all_places(parts: Serving) -> None:
    engine, model = await ready(parts, max_in_flight=20)
    model.gate.clear()
    asked = [asyncio.create_task(ask(engine, query(ONE))) for _ in range(30)]
    _, waiting = await asyncio.wait(asked, timeout=0.05)

    assert len(waiting) == 20
    model.gate.set()
    await asyncio.wait(waiting)


async def test_a_caller_with_too_many_requests_is_told_429_and_others_get_in(
    parts: Serving,
) -> None:
    engine, model = await ready(parts, client_max_in_flight=1)
    model.gate.clear()
    mine = asyncio.create_task(ask(engine, query(ONE, caller="key-1")))
    await until(model.entered.is_set)
    with pytest.raises(TooManyRequests):
        await ask(engine, query(ONE, caller="key-1"))
    other = asyncio.create_task(ask(engine, query(ONE, caller="key-2")))
    model.gate.set()

    assert [await mine, await other] == [[[2.0]], [[2.0]]]


async def test_a_model_that_cannot_be_loaded_answers_503_with_its_reason(parts: Serving) -> None:
    write_broken(parts.folder, "broken")
    engine = parts.engine(parts.catalog(Wanted("broken")))

    with pytest.raises(ServingError, match=r"model broken cannot be served: .*onnx") as caught:
        await ask(engine, query(ONE, "broken"))
    assert (caught.value.status, caught.value.code) == (503, "model-unavailable")
    assert caught.value.retry_after_s is not None
    assert caught.value.retry_after_s >= 1


async def test_many_requests_at_once_are_each_answered_with_their_own(parts: Serving) -> None:
    engine, model = await ready(parts)
    asked = [ask(engine, query({"data": [[float(i)]]})) for i in range(200)]

    assert await asyncio.gather(*asked) == [[[2.0 * i]] for i in range(200)]
    assert model.calls < 200


async def test_probes_need_no_thread_while_every_one_is_inside_a_model(parts: Serving) -> None:
    engine, model = await ready(parts)
    catalog: Catalog = engine._catalog
    first = await busy(engine, model)
    began = asyncio.get_running_loop().time()
    assert catalog.status()
    await asyncio.sleep(0)
    took_s = asyncio.get_running_loop().time() - began
    model.gate.set()
    await first

    assert took_s < 0.05


async def test_where_an_answer_is_encoded_depends_on_its_own_size(
    parts: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, _ = await ready(parts)
    codec = ThreadsSeen()
    large = b" " * LARGE_BODY_BYTES + orjson.dumps(ONE)
    await engine.infer(query(large), codec, Trace("POST"))
    monkeypatch.setattr("app.engine._LARGE_OUTPUT_BYTES", 4)
    await engine.infer(query(ONE), codec, Trace("POST"))

    assert codec.seen == [("decode", False), ("encode", True), ("decode", True), ("encode", False)]


async def test_a_call_of_many_bytes_never_runs_on_the_loop(
    parts: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, model = await ready(parts)
    tried: list[int] = []
    monkeypatch.setattr(Batcher, "predict_now", lambda *_: tried.append(model.calls))
    await ask(engine, query(ONE))
    await ask(engine, query(b" " * LARGE_BODY_BYTES + orjson.dumps(ONE)))

    assert (tried, model.calls) == ([0], 2)


def test_a_large_body_is_one_of_128_kib() -> None:
    assert len(orjson.dumps(ONE)) < LARGE_BODY_BYTES == 2**17
