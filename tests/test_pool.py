"""Models in memory: one load however many ask, and who goes when there is no room."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import runtimes
from app.errors import ModelInvalid, ModelUnavailable, ServingError
from app.memory import Size
from app.pool import DEFAULT_MAX_ROWS, Loaded, Options, Pool
from app.telemetry import Trace
from app.tensors import Batch, ModelRef
from tests.serving import PINNED, Serving, serving, until, write_broken, write_model

SIZE = 10_000
"""Of the models here, but for a few hundred bytes."""


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    with serving(tmp_path, monkeypatch) as parts:
        for name in "abcd":
            write_model(parts.folder, name, size=SIZE)
        yield parts


def ref(name: str) -> ModelRef:
    return ModelRef("default", name, "1")


def nothing(step: str) -> None:
    """Nobody wants to know the step."""


async def load(pool: Pool, parts: Serving, name: str, options: Options | None = None) -> Loaded:
    return await pool.load(ref(name), parts.registry, options or Options(), nothing)


def inside(pool: Pool) -> str:
    return "".join(name for name in "abcd" if pool.peek(ref(name)) is not None)


async def test_100_first_requests_at_once_make_one_fetch_and_one_load(parts: Serving) -> None:
    pool = parts.pool()
    parts.registry.gate.clear()
    asked = [asyncio.create_task(load(pool, parts, "a")) for _ in range(100)]
    await until(lambda: parts.registry.fetched)
    parts.registry.gate.set()
    loaded = await asyncio.gather(*asked)

    assert parts.registry.fetched == [ref("a")]
    assert parts.loads == ["a"]
    assert len({id(each) for each in loaded}) == 1


async def test_who_leaves_does_not_stop_a_load_not_even_when_all_leave(parts: Serving) -> None:
    pool = parts.pool()
    parts.registry.gate.clear()
    asked = [asyncio.create_task(load(pool, parts, "a")) for _ in range(3)]
    await until(lambda: parts.registry.fetched)
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    parts.registry.gate.set()
    await until(lambda: inside(pool) == "a")

    assert (await load(pool, parts, "a")).ref == ref("a")
    assert parts.loads == ["a"]


async def test_the_steps_of_a_load_are_told_in_order(parts: Serving) -> None:
    steps = list[str]()
    await parts.pool().load(ref("a"), parts.registry, Options(), steps.append)

    assert steps == ["fetch", "verify", "load", "check"]


async def test_the_least_recently_used_goes_first(parts: Serving) -> None:
    pool = parts.pool(budget_bytes=3 * SIZE + 5000)
    for name in "abc":
        await load(pool, parts, name)
    pool.get(ref("a"))
    pool.peek(ref("b"))
    await load(pool, parts, "d")

    assert inside(pool) == "acd"
    assert 3 * SIZE < pool.size_bytes() < 3 * SIZE + 5000


async def test_a_pinned_model_stays(parts: Serving) -> None:
    pool = parts.pool(budget_bytes=2 * SIZE + 5000)
    await load(pool, parts, "a", PINNED)
    for name in "bcd":
        await load(pool, parts, name)

    assert inside(pool) == "ad"


async def test_what_is_larger_than_all_memory_is_refused_with_the_numbers(parts: Serving) -> None:
    pool = parts.pool(budget_bytes=SIZE // 2)

    with pytest.raises(
        ModelUnavailable,
        match=r"takes 10\d\d\d bytes .*its files\), all .* 5000 \(SERVE_M",
    ):
        await load(pool, parts, "a")
    assert parts.loads == []


async def test_what_does_not_fit_beside_the_pinned_ones_is_refused_and_evicts_nobody(
    parts: Serving,
) -> None:
    pool = parts.pool(budget_bytes=2 * SIZE + 5000)
    for name in "ab":
        await load(pool, parts, name, PINNED)

    with pytest.raises(ModelUnavailable, match="of which pinned ones take 20"):
        await load(pool, parts, "c")
    assert inside(pool) == "ab"


async def test_pinned_models_that_load_at_once_are_counted_together(parts: Serving) -> None:
    pool = parts.pool(budget_bytes=2 * SIZE + 5000)
    loads = (load(pool, parts, name, PINNED) for name in "abcd")
    got = await asyncio.gather(*loads, return_exceptions=True)

    assert len([each for each in got if isinstance(each, Loaded)]) == 2
    assert pool.size_bytes() <= 2 * SIZE + 5000


async def test_a_pinned_model_that_fails_to_load_holds_no_room(parts: Serving) -> None:
    write_broken(parts.folder, "broken")
    (parts.folder / "broken" / "1" / "README.md").write_bytes(b"x" * SIZE)
    pool = parts.pool(budget_bytes=SIZE + 5000)
    with pytest.raises(ModelInvalid):
        await load(pool, parts, "broken", PINNED)

    assert (await load(pool, parts, "a", PINNED)).is_pinned


async def test_a_model_in_use_survives_its_eviction_and_then_leaves_memory(
    parts: Serving,
) -> None:
    pool = parts.pool(budget_bytes=SIZE + 5000)
    used = await load(pool, parts, "a")
    gone = weakref.ref(parts.models.pop("a"))
    await load(pool, parts, "b")
    assert inside(pool) == "b"
    batch = Batch({"x": np.ones((1, 1), np.float32)}, 1)
    predicted = await used.batcher.predict(batch, ("y",), Trace("POST"))

    assert predicted.prediction["y"].tolist() == [[2.0]]
    del used

    def is_gone() -> bool:
        gc.collect()
        return gone() is None

    await until(is_gone)


@pytest.mark.parametrize("error", [SystemExit(1), StopIteration(), asyncio.CancelledError()])
async def test_whatever_is_raised_while_a_model_is_read_is_a_refusal(
    parts: Serving, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(*_: object) -> None:
        raise error

    monkeypatch.setattr("app.runtimes.load", raising)

    with pytest.raises(ServingError, match=f"raised {type(error).__name__}; the log"):
        await asyncio.wait_for(load(parts.pool(), parts, "a"), 30)


async def test_a_load_that_failed_is_tried_anew_by_the_next_who_asks(parts: Serving) -> None:
    write_broken(parts.folder, "broken")
    pool = parts.pool()
    with pytest.raises(ModelInvalid):
        await load(pool, parts, "broken")
    write = parts.folder / "broken" / "1" / "model.onnx"
    write.write_bytes((parts.folder / "a" / "1" / "model.onnx").read_bytes())

    assert (await load(pool, parts, "broken")).ref == ref("broken")


@pytest.mark.parametrize(
    ("manifest", "options", "max_rows", "timeout_s"),
    [
        ("{}", Options(), DEFAULT_MAX_ROWS, None),
        ("{batching: {max_rows: 7}, timeout_s: 3}", Options(), 7, 3),
        ("{batching: {max_rows: 7}, timeout_s: 3}", Options(max_rows=9, timeout_s=4), 9, 4),
    ],
)
async def test_the_operator_goes_before_the_manifest_and_that_before_the_default(
    parts: Serving, manifest: str, options: Options, max_rows: int, timeout_s: float | None
) -> None:
    write_model(parts.folder, "e", manifest=manifest)
    loaded = await load(parts.pool(), parts, "e", options)

    assert loaded.timeout_s == timeout_s
    assert loaded.batcher.max_rows == max_rows


async def test_room_is_made_for_a_declared_size_and_the_operators_goes_before_the_manifests(
    parts: Serving,
) -> None:
    write_model(parts.folder, "e", manifest="memory_bytes: 60k")
    pool = parts.pool(budget_bytes=2 * SIZE + 80_000)
    for name in "abe":
        await load(pool, parts, name)
    assert inside(pool) == "ab"  # with e
    await load(pool, parts, "c", Options(memory_bytes=70_000))

    assert (inside(pool), pool.peek(ref("e"))) == ("c", None)
    pool.adjust(ref("c"), Options(memory_bytes=50_000))
    c = pool.peek(ref("c"))
    assert c is not None
    assert c.size == Size(50_000, "declared")
    with pytest.raises(ModelUnavailable, match=r"takes 200000 bytes of memory \(declared\)"):
        await load(pool, parts, "d", Options(memory_bytes=200_000))


@pytest.mark.parametrize(
    "changed", [{"threads": 2}, {"timeout_s": 3.0}, {"environment": ("DB_KEY",)}]
)
async def test_a_script_whose_processes_are_others_begins_anew(
    parts: Serving, changed: dict[str, Any]
) -> None:
    folder = parts.folder / "s" / "1"
    folder.mkdir(parents=True)
    (folder / "score.py").write_text("def init(): pass\ndef run(data): return data")
    pool = parts.pool()
    loaded = await load(pool, parts, "s")
    assert loaded.timeout_s is None  # the clock of its own process ends it
    pool.adjust(ref("s"), Options(is_pinned=True))
    assert pool.peek(ref("s")) is not None

    pool.adjust(ref("s"), Options(is_pinned=True, **changed))
    assert pool.peek(ref("s")) is None


async def test_closing_ends_loads_that_wait_for_a_thread(parts: Serving) -> None:
    pool = parts.pool()
    parts.registry.gate.clear()
    asked = asyncio.create_task(load(pool, parts, "a"))
    await until(lambda: parts.registry.fetched)
    await pool.close()

    with pytest.raises(asyncio.CancelledError):
        await asked


async def test_room_is_made_before_a_load_so_that_the_two_are_never_in_memory_together(
    parts: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = parts.pool(budget_bytes=SIZE + 5000)
    await load(pool, parts, "a")
    gone = weakref.ref(parts.models.pop("a"))
    there = []
    real = runtimes.load

    def watched(*given: Any) -> Any:
        there.append(gone())
        return real(*given)

    monkeypatch.setattr(runtimes, "load", watched)
    await load(pool, parts, "b")

    assert there == [None]


async def test_loads_at_once_wait_for_room_and_all_are_served(parts: Serving) -> None:
    pool = parts.pool(budget_bytes=2 * SIZE + 5000)
    most = 0

    async def ask(name: str) -> None:
        nonlocal most
        assert (await load(pool, parts, name)).ref == ref(name)
        most = max(most, pool.size_bytes())

    await asyncio.wait_for(asyncio.gather(*map(ask, "abcdabcd")), 30)

    assert most <= 2 * SIZE + 5000
    assert len(inside(pool)) == 2


async def test_a_load_that_fails_gives_its_room_to_who_waits(parts: Serving) -> None:
    write_broken(parts.folder, "broken")
    (parts.folder / "broken" / "1" / "README.md").write_bytes(b"x" * SIZE)
    pool = parts.pool(budget_bytes=SIZE + 5000)
    asked = (load(pool, parts, name) for name in ["broken", "a", "b"])
    got = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 30)

    assert [type(each) for each in got] == [ModelInvalid, Loaded, Loaded]


async def growing(parts: Serving, grows: dict[str, int], budget_bytes: int) -> Pool:
    """A pool in which loading a model takes so much, whatever its files are."""
    await load(parts.pool(), parts, "a")  # brings what it imports
    parts.loads.clear()
    for name in grows:
        (parts.folder / name / "1" / "README.md").write_text(f"so that {name} differs")

    def occupied() -> int:
        return sum(grows[name] for name in parts.loads)

    return parts.pool(budget_bytes, occupied)


async def test_what_was_measured_counts_and_makes_others_go(parts: Serving) -> None:
    pool = await growing(parts, {"b": 10**6, "c": 2 * 10**6, "d": 0}, 3 * 10**6)
    for name in "bc":
        await load(pool, parts, name)
    assert inside(pool) == "bc"
    assert pool.size_bytes() == 3 * 10**6
    await load(pool, parts, "d")

    assert inside(pool) == "cd"
    found = pool.peek(ref("c"))
    assert found is not None
    assert found.size == Size(2 * 10**6, "measured", is_exact=True)


async def test_what_proves_too_large_is_refused_and_the_next_time_before_it_is_loaded(
    parts: Serving,
) -> None:
    await load(parts.pool(), parts, "a")
    parts.loads.clear()
    pool = await growing(parts, {"b": 2 * 10**6, "c": 0}, 10**6)

    with pytest.raises(ModelUnavailable, match=r"takes 2000000 bytes of memory \(measured\), all"):
        await load(pool, parts, "b")
    with pytest.raises(ModelUnavailable, match=r"\(measured at an earlier load\), all models may"):
        await load(pool, parts, "b")
    await load(pool, parts, "c", PINNED)

    assert parts.loads == ["b", "c"]
    assert inside(pool) == "c"


async def test_a_model_is_loaded_anew_beside_itself_and_takes_its_own_place(parts: Serving) -> None:
    pool = parts.pool(budget_bytes=int(2.5 * SIZE))  # no room for a third
    before = await load(pool, parts, "a", PINNED)
    await load(pool, parts, "b")
    gone = weakref.ref(before.model)

    asked = [pool.again(ref("a"), parts.registry, PINNED) for _ in range(3)]
    now = await asyncio.gather(*asked)

    assert {id(each) for each in now} == {id(pool.peek(ref("a")))} != {id(before)}
    assert (parts.loads, inside(pool)) == (["a", "b", "a"], "ab")
    del before
    gc.collect()
    assert gone() is None


async def test_what_cannot_be_loaded_anew_stays_as_it_was_and_pinned(parts: Serving) -> None:
    pool = parts.pool(budget_bytes=int(2.5 * SIZE))
    before = await load(pool, parts, "a", PINNED)
    (parts.folder / "a" / "1" / "manifest.yaml").write_text("threads: none")
    with pytest.raises(ModelInvalid, match="threads"):
        await pool.again(ref("a"), parts.registry, PINNED)
    (parts.folder / "a" / "1" / "manifest.yaml").write_text("memory_bytes: 1M")
    with pytest.raises(ModelUnavailable, match="takes 1000000 bytes"):
        await pool.again(ref("a"), parts.registry, PINNED)

    for name in "bcd":
        await load(pool, parts, name)
    assert pool.peek(ref("a")) is before
    assert inside(pool) == "ad"
