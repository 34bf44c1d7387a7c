"""Names and versions: what is served, how loads are tried again, and when the service is ready."""

from __future__ import annotations

import asyncio
import gc
import shutil
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.catalog import Catalog, State, Wanted, entry, lookups
from app.catalog.entry import Entry
from app.catalog.lookups import LookUps
from app.errors import ModelNotFound, ModelUnavailable, Overloaded
from app.pool import Options
from tests.serving import Serving, serving, states, until, write_broken, write_model


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    with serving(tmp_path, monkeypatch) as parts:
        write_model(parts.folder, "a", "1")
        write_model(parts.folder, "a", "2")
        write_model(parts.folder, "a", "10")
        write_model(parts.folder, "b", "1")
        yield parts


@pytest.fixture
def many_look_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LookUps, "begin", lambda _: None)


async def found(catalog: Catalog, name: str, version: str | None = None) -> str:
    return str((await catalog.find(name, version)).ref)


def entry_of(catalog: Catalog, name: str) -> Entry:
    found = catalog._entries.at(name, None)
    assert found is not None
    return found


def mend(parts: Serving, name: str) -> None:
    good = parts.folder / "b" / "1" / "model.onnx"
    shutil.copy(good, parts.folder / name / "1" / "model.onnx")


async def test_a_named_model_goes_from_known_through_loading_to_ready(parts: Serving) -> None:
    catalog = parts.catalog(Wanted("b"))
    parts.registry.gate.clear()
    assert states(catalog) == {"b:latest": State.KNOWN}
    catalog.start()
    await until(lambda: parts.registry.fetched)
    (loading,) = catalog.status()
    assert (loading.state, loading.step, loading.version) == (State.LOADING, "fetch", "1")
    assert not catalog.is_ready
    parts.registry.gate.set()
    await until(lambda: catalog.is_ready)

    (ready,) = catalog.status()
    assert (ready.state, ready.step, ready.reason) == (State.READY, "", "")
    assert ready.loaded is not None
    await catalog.close()


async def test_a_model_that_fails_says_where_and_why_and_when_it_is_tried_again(
    parts: Serving,
) -> None:
    write_broken(parts.folder, "broken")
    catalog = parts.catalog(Wanted("broken"))
    entry_of(catalog, "broken")._first_retry_s = 50.0

    with pytest.raises(ModelUnavailable, match=r"model broken cannot .*model\.onnx") as first:
        await catalog.find("broken")
    with pytest.raises(ModelUnavailable) as second:
        await catalog.find("broken")

    (failed,) = catalog.status()
    assert (failed.state, failed.step) == (State.FAILED, "load")
    assert failed.reason in str(first.value)
    assert str(second.value) == str(first.value)
    assert 39 < (failed.next_try_s or 0) <= (first.value.retry_after_s or 0) <= 60
    assert parts.loads == ["broken"]  # not again before it is due
    await catalog.close()


async def test_a_failed_load_is_tried_again_until_it_succeeds(parts: Serving) -> None:
    write_broken(parts.folder, "broken")
    catalog = parts.catalog(Wanted("broken"))
    catalog.start()
    await until(lambda: len(parts.loads) >= 3)
    assert not catalog.is_ready
    mend(parts, "broken")
    await until(lambda: catalog.is_ready)

    assert await found(catalog, "broken") == "broken:1"
    assert catalog.status()[0].reason == ""
    await catalog.close()


async def test_the_waits_grow_twofold_with_some_jitter_up_to_a_minute(parts: Serving) -> None:
    write_broken(parts.folder, "broken")
    catalog = parts.catalog(Wanted("broken"))
    broken = entry_of(catalog, "broken")
    broken._first_retry_s = 1.0
    waits = []
    for _ in range(9):
        broken._next_try_at = 0.0
        with pytest.raises(ModelUnavailable):
            await catalog.find("broken")
        waits.append(broken.retry_after_s())

    for wait_s, wanted in zip(waits, (1, 2, 4, 8, 16, 32, 60, 60, 60), strict=True):
        assert 0.75 * wanted < wait_s < 1.25 * wanted


@pytest.mark.parametrize("error", [ValueError("a bug"), SystemExit(3), StopIteration()])
async def test_an_error_that_is_none_of_ours_does_not_end_the_tries(
    parts: Serving, error: BaseException
) -> None:
    parts.registry.error = error
    catalog = parts.catalog(Wanted("b"))
    catalog.start()
    await until(lambda: len(parts.registry.resolved) >= 3)
    parts.registry.error = None

    await until(lambda: catalog.is_ready)
    await catalog.close()


async def test_a_bug_in_our_own_code_does_not_end_the_tries(
    parts: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, tries = parts.pool(), list[int]()
    real = pool.load

    async def load(*given: object) -> object:
        tries.append(1)
        if len(tries) < 3:
            raise ZeroDivisionError
        return await real(*given)  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(pool, "load", load)
    catalog = parts.catalog(Wanted("b"), pool=pool)
    catalog.start()

    await until(lambda: catalog.is_ready)
    await catalog.close()


async def test_a_model_that_failed_its_check_is_not_kept_in_memory(parts: Serving) -> None:
    golden = '[{"request": {"data": [[1]]}, "results": [[3]]}]'
    write_model(parts.folder, "wrong", golden=golden)
    catalog = parts.catalog(Wanted("wrong"))
    with pytest.raises(ModelUnavailable, match=r"golden\.json"):
        await catalog.find("wrong")
    gone = weakref.ref(parts.models.pop("wrong"))
    assert catalog.status()[0].state is State.FAILED

    def is_gone() -> bool:
        gc.collect()
        return gone() is None

    await until(is_gone)


@pytest.mark.parametrize(
    ("wanted", "version", "answer"),
    [
        ([Wanted("a")], None, "a:10"),
        ([Wanted("a")], "2", "a:2"),
        ([Wanted("a", "2")], None, "a:2"),
        ([Wanted("a", "1")], "10", "a:10"),
        ([Wanted("a", "2"), Wanted("a", "10"), Wanted("a", "1")], None, "a:10"),
        ([Wanted("a", "2"), Wanted("a", "1")], None, "a:2"),
        ([Wanted("a", "2"), Wanted("a", "1")], "1", "a:1"),
        ([Wanted("a"), Wanted("a", "1")], None, "a:10"),
        ([Wanted("a", "1"), Wanted("a")], None, "a:10"),
        ([Wanted("b")], None, "a:10"),
    ],
)
async def test_a_name_is_answered_by_what_is_listed_or_the_newest(
    parts: Serving, wanted: list[Wanted], version: str | None, answer: str
) -> None:
    assert await found(parts.catalog(*wanted), "a", version) == answer


async def test_an_on_demand_version_does_not_become_the_answer_to_its_name(parts: Serving) -> None:
    catalog = parts.catalog(Wanted("a", "2"))
    await catalog.find("a", "10")

    assert await found(catalog, "a") == "a:2"
    assert catalog.names() == ["a"]


async def test_an_on_demand_version_has_the_options_of_its_name(parts: Serving) -> None:
    catalog = parts.catalog(Wanted("a", options=Options(timeout_s=7)))

    assert (await catalog.find("a", "1")).timeout_s == 7


async def test_100_first_requests_for_one_name_make_one_look_up_and_one_load(
    parts: Serving,
) -> None:
    catalog = parts.catalog()
    await asyncio.gather(*(catalog.find("b") for _ in range(100)))

    assert parts.registry.resolved.count(("b", None)) == 1
    assert parts.loads == ["b"]


@pytest.mark.parametrize("name", ["zzz", "aa", "../a", "", "a/1", "x" * 256, "a b", "\u00e9"])
async def test_an_unknown_name_is_not_found(parts: Serving, name: str) -> None:
    with pytest.raises(ModelNotFound):
        await parts.catalog().find(name)


async def test_an_unknown_name_is_remembered_for_a_while(
    parts: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = parts.catalog()
    for _ in range(20):
        with pytest.raises(ModelNotFound, match="no model 'zzz'"):
            await catalog.find("zzz")
    assert parts.registry.resolved == [("zzz", None)]
    write_model(parts.folder, "zzz")
    later = time.monotonic() + lookups.UNKNOWN_S
    monkeypatch.setattr(time, "monotonic", lambda: later)

    assert await found(catalog, "zzz") == "zzz:1"


async def test_at_most_five_look_ups_a_second_reach_the_registry(
    parts: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    catalog = parts.catalog()
    for number in range(5):
        with pytest.raises(ModelNotFound):
            await catalog.find(f"no-{number}")
    with pytest.raises(Overloaded) as caught:
        await catalog.find("b")
    assert caught.value.retry_after_s == 1
    assert len(parts.registry.resolved) == 5
    now += 1

    assert await found(catalog, "b") == "b:1"


@pytest.mark.usefixtures("many_look_ups")
@pytest.mark.parametrize("is_away", [False, True])
async def test_10000_versions_that_nobody_has_do_not_fill_the_memory(
    parts: Serving, is_away: bool
) -> None:
    catalog = parts.catalog(Wanted("b"))
    await catalog.find("b")
    if is_away:
        shutil.rmtree(parts.folder)
    else:
        parts.registry.error = ModelNotFound("no such version")
    for number in range(10_000):
        with pytest.raises((ModelNotFound, ModelUnavailable)):
            await catalog.find("b", f"v{number}")

    assert [str(entry.wanted) for entry in catalog._entries] == ["b"]
    assert len(catalog._look_ups._in_vain) <= 1000
    assert states(catalog) == {"b:1": State.READY}


async def test_a_registry_that_is_away_is_told_so_and_asked_again_soon(parts: Serving) -> None:
    catalog = parts.catalog()
    away = parts.folder.rename(parts.folder.with_name("away"))
    for _ in range(2):
        with pytest.raises(ModelUnavailable, match="registry folder cannot be read") as caught:
            await catalog.find("b")
    assert caught.value.retry_after_s
    assert catalog.registry_errors >= 1
    away.rename(parts.folder)
    await asyncio.sleep(0.005)

    assert await found(catalog, "b") == "b:1"


async def test_what_a_request_names_is_not_shown_before_the_registry_knows_it(
    parts: Serving,
) -> None:
    catalog = parts.catalog()
    asked = asyncio.create_task(catalog.find("label-of-an-attacker"))
    await asyncio.sleep(0)
    assert catalog.status() == []
    await asyncio.gather(asked, return_exceptions=True)
    assert catalog.status() == []
    await catalog.find("b")

    assert states(catalog) == {"b:1": State.READY}
    assert catalog.names() == []


async def test_without_on_demand_only_what_is_listed_is_served(parts: Serving) -> None:
    catalog = parts.catalog(Wanted("a", "2"), on_demand=False)

    assert await found(catalog, "a") == "a:2"
    for name, version in (("b", None), ("a", "10")):
        with pytest.raises(ModelNotFound, match="is served here"):
            await catalog.find(name, version)
    with pytest.raises(ModelNotFound, match="did you mean a"):
        await catalog.find("aa")
    assert {name for name, _ in parts.registry.resolved} == {"a"}


async def test_on_demand_match_says_which_names_may_be_loaded(parts: Serving) -> None:
    catalog = parts.catalog(match="b*")

    assert await found(catalog, "b") == "b:1"
    with pytest.raises(ModelNotFound):
        await catalog.find("a")


@pytest.mark.parametrize(
    ("wanted", "stated", "name"),
    [
        ([Wanted("a")], None, "a"),
        ([Wanted("a", "1"), Wanted("a", "2")], None, "a"),
        ([Wanted("a"), Wanted("b")], None, None),
        ([Wanted("a"), Wanted("b")], "b", "b"),
        ([Wanted("a")], "b", "b"),
        ([], None, None),
    ],
)
async def test_the_default_is_the_one_stated_or_the_only_one(
    parts: Serving, wanted: list[Wanted], stated: str | None, name: str | None
) -> None:
    catalog = parts.catalog(*wanted, default_model=stated)
    await catalog.find("b")

    assert catalog.default_name() == name


async def test_a_default_model_that_is_not_listed_is_served_also_without_on_demand(
    parts: Serving,
) -> None:
    catalog = parts.catalog(Wanted("a"), default_model="b", on_demand=False)
    catalog.start()
    await until(lambda: catalog.is_ready)

    assert states(catalog) == {"a:10": State.READY, "b:latest": State.KNOWN}
    assert await found(catalog, "b") == "b:1"
    assert catalog.names() == ["a", "b"]
    await catalog.close()


async def test_without_a_list_every_model_is_served_and_broken_ones_say_why(
    parts: Serving,
) -> None:
    write_broken(parts.folder, "broken")
    (parts.folder / "empty").mkdir()
    catalog = parts.catalog(all_models=True)
    assert not catalog.is_ready
    catalog.start()
    await until(lambda: catalog.is_ready)

    assert catalog.names() == ["a", "b", "broken", "empty"]
    assert await found(catalog, "a") == "a:10"
    for name in ("broken", "empty"):
        status = next(s for s in catalog.status() if s.name == name)
        assert status.state in (State.FAILED, State.LOADING)
        with pytest.raises(ModelUnavailable, match=f"{name} cannot be served: .+"):
            await catalog.find(name)
    await catalog.close()


async def test_discovered_models_are_awaited_but_not_required(parts: Serving) -> None:
    catalog = parts.catalog(all_models=True)
    parts.registry.gate.clear()
    catalog.start()
    await until(lambda: len(parts.registry.fetched) == 2)
    assert not catalog.is_ready
    parts.registry.gate.set()
    await until(lambda: catalog.is_ready)

    assert not any(status.is_required for status in catalog.status())
    await catalog.close()


@pytest.mark.parametrize("on_demand", [True, False])
async def test_a_registry_that_is_away_at_the_start_is_awaited(
    parts: Serving, on_demand: bool
) -> None:
    parts.registry.is_away = True
    catalog = parts.catalog(all_models=True, on_demand=on_demand)
    catalog.start()
    await until(lambda: catalog.registry_errors >= 3)
    assert not catalog.is_ready
    with pytest.raises(ModelUnavailable, match="not been read yet"):
        catalog.default_name()
    if not on_demand:
        with pytest.raises(ModelUnavailable, match="not been read yet"):
            await catalog.find("b")
    parts.registry.is_away = False
    await until(lambda: catalog.is_ready)

    assert catalog.names() == ["a", "b"]
    await catalog.close()


async def test_a_model_asked_for_before_it_is_discovered_is_loaded_once(parts: Serving) -> None:
    parts.registry.gate.clear()
    catalog = parts.catalog(all_models=True)
    asked = asyncio.create_task(catalog.find("b"))
    await until(lambda: parts.registry.fetched)
    catalog.start()
    await until(catalog.names)
    parts.registry.gate.set()
    await until(lambda: catalog.is_ready)

    assert str((await asked).ref) == "b:1"
    assert parts.loads.count("b") == 1
    assert catalog.names() == ["a", "b"]
    await catalog.close()


@pytest.mark.parametrize(
    ("wanted", "is_ready"),
    [
        ([Wanted("b")], True),
        ([Wanted("b"), Wanted("broken")], False),
        ([Wanted("b"), Wanted("broken", is_required=False)], True),
        ([Wanted("b"), Wanted("broken", is_preloaded=False, is_required=False)], True),
        ([Wanted("a", is_preloaded=False, is_required=True)], True),
        ([Wanted("broken", is_preloaded=False, is_required=True)], False),
        ([], True),
    ],
)
async def test_readiness_waits_for_required_models_and_for_a_try_of_the_others(
    parts: Serving, wanted: list[Wanted], is_ready: bool
) -> None:
    write_broken(parts.folder, "broken")
    catalog = parts.catalog(*wanted)
    catalog.start()
    if is_ready:
        await until(lambda: catalog.is_ready)
    else:
        await until(lambda: parts.loads.count("broken") >= 2)
        assert not catalog.is_ready
    await catalog.close()


async def test_readiness_stays_when_a_required_model_is_evicted(parts: Serving) -> None:
    for name in ("big", "other"):
        write_model(parts.folder, name, size=10_000)
    catalog = parts.catalog(Wanted("big"), pool=parts.pool(budget_bytes=15_000))
    catalog.start()
    await until(lambda: catalog.is_ready)
    await catalog.find("other")

    assert states(catalog) == {"big:1": State.KNOWN, "other:1": State.READY}
    assert catalog.is_ready
    assert await found(catalog, "big") == "big:1"
    await catalog.close()


async def test_a_broken_model_leaves_the_other_versions_of_its_name_alone(parts: Serving) -> None:
    (parts.folder / "a" / "10" / "model.onnx").write_bytes(b"no model")
    catalog = parts.catalog(Wanted("a"), Wanted("a", "2"))

    with pytest.raises(ModelUnavailable):
        await catalog.find("a")
    assert await found(catalog, "a", "2") == "a:2"


async def test_who_leaves_while_a_model_loads_does_not_stop_it(parts: Serving) -> None:
    catalog = parts.catalog()
    parts.registry.gate.clear()
    asked = asyncio.create_task(catalog.find("b"))
    await until(lambda: parts.registry.fetched)
    staying = asyncio.create_task(catalog.find("b"))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    parts.registry.gate.set()

    assert str((await staying).ref) == "b:1"
    assert parts.loads == ["b"]


async def test_status_is_in_the_order_of_names_and_versions(parts: Serving) -> None:
    wanted = [Wanted("b"), Wanted("a", "10"), Wanted("a", "2"), Wanted("a", "1")]

    assert list(states(parts.catalog(*wanted))) == ["a:1", "a:2", "a:10", "b:latest"]


async def test_closing_ends_every_task(parts: Serving) -> None:
    write_broken(parts.folder, "broken")
    catalog = parts.catalog(Wanted("b"), Wanted("broken"))
    parts.registry.gate.clear()
    catalog.start()
    await until(lambda: parts.registry.fetched)
    await catalog.close()

    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_the_first_wait_is_a_second() -> None:
    assert (entry.FIRST_RETRY_S, entry.LAST_RETRY_S) == (1.0, 60.0)
