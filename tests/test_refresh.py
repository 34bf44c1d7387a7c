"""A newer version answers once it is checked; until then, and when refused, the one before."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.catalog import Catalog, Outcomes, Status, Wanted
from app.pool import Options
from app.telemetry import Trace
from tests.serving import Serving, ask, query, serving, until, write_broken, write_model

WRONG = json.dumps([{"request": {"data": [[1.0]]}, "results": [[3.0]]}])
"""A golden file that nobody fits: the models double numbers."""


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    with serving(tmp_path, monkeypatch) as made:
        yield made


def only(catalog: Catalog) -> Status:
    (status,) = catalog.status()
    return status


async def test_a_newer_version_answers_after_a_refresh_and_the_older_one_leaves(
    parts: Serving,
) -> None:
    write_model(parts.folder, "double", "1")
    pool = parts.pool()
    catalog = parts.catalog(Wanted("double", options=Options(is_pinned=True)), pool=pool)
    first = await catalog.find("double")
    write_model(parts.folder, "double", "2")

    await catalog.refresh()

    found = catalog.get("double")
    assert found is not None
    assert (first.ref.version, found.ref.version) == ("1", "2")
    assert pool.peek(first.ref) is None
    assert only(catalog).version == "2"
    call = first.schema.call({"data": [[1.0]]})  # of a request that is inside
    predicted = await first.batcher.predict(call.batch, first.schema.wanted(call), Trace("POST"))
    assert predicted.prediction["y"].tolist() == [[2.0]]
    await catalog.close()


async def test_the_version_before_answers_while_the_newer_one_loads(parts: Serving) -> None:
    write_model(parts.folder, "double", "1")
    catalog = parts.catalog(Wanted("double"))
    engine = parts.engine(catalog)
    await catalog.find("double")
    write_model(parts.folder, "double", "2")
    parts.registry.gate.clear()

    refreshing = asyncio.create_task(catalog.refresh())
    await until(lambda: len(parts.registry.fetched) == 2)
    assert await ask(engine, query({"data": [[2.0]]})) == [[4.0]]
    loaded = catalog.get("double")
    assert loaded is not None
    assert loaded.ref.version == "1"

    parts.registry.gate.set()
    await refreshing
    assert only(catalog).version == "2"
    await catalog.close()


@pytest.mark.parametrize("fault", ["golden", "broken"])
async def test_a_version_that_is_refused_says_why_and_the_one_before_goes_on(
    parts: Serving, fault: str
) -> None:
    write_model(parts.folder, "double", "1")
    catalog = parts.catalog(Wanted("double"))
    await catalog.find("double")
    if fault == "golden":
        write_model(parts.folder, "double", "2", golden=WRONG)
    else:
        (write_model(parts.folder, "double", "2") / "model.onnx").write_bytes(b"no model")

    for _ in range(3):
        await catalog.refresh()

    status = only(catalog)
    assert status.version == "1"
    assert status.refused_version == "2"
    assert fault == "broken" or "got 2.0, wanted 3.0" in status.refused
    assert parts.loads.count("double") == 2  # a version's files do not change: it is not tried anew
    await catalog.refresh(is_asked_for=True)
    assert parts.loads.count("double") == 3
    await catalog.close()


async def test_after_an_eviction_a_refused_version_does_not_answer_either(parts: Serving) -> None:
    write_model(parts.folder, "double", "1")
    pool = parts.pool()
    catalog = parts.catalog(Wanted("double"), pool=pool)
    first = await catalog.find("double")
    write_model(parts.folder, "double", "2", golden=WRONG)
    pool.release(first.ref)

    assert (await catalog.find("double")).ref.version == "1"
    assert only(catalog).refused_version == "2"
    await catalog.close()


async def test_without_a_version_before_a_refused_one_is_the_reason(parts: Serving) -> None:
    write_model(parts.folder, "double", "1", golden=WRONG)
    catalog = parts.catalog(Wanted("double"))
    catalog.start()
    await until(lambda: only(catalog).reason)

    assert "wanted 3.0" in only(catalog).reason
    assert not catalog.is_ready
    await catalog.close()


async def test_a_registry_that_is_away_leaves_the_version_and_says_that_it_may_be_stale(
    parts: Serving,
) -> None:
    write_model(parts.folder, "double", "1")
    catalog = parts.catalog(Wanted("double"))
    await catalog.find("double")
    parts.registry.is_away = True

    await catalog.refresh()
    assert only(catalog).stale == "the registry is away"
    assert catalog.registry_errors == 1
    assert catalog.get("double") is not None

    parts.registry.is_away = False
    await catalog.refresh()
    assert only(catalog).stale == ""
    await catalog.close()


async def test_an_exact_version_and_what_is_not_in_memory_are_not_looked_up(parts: Serving) -> None:
    for version in ("1", "2"):
        write_model(parts.folder, "double", version)
    write_broken(parts.folder, "broken")
    catalog = parts.catalog(Wanted("double", "1"), Wanted("broken", is_preloaded=False))
    await catalog.find("double")
    asked = len(parts.registry.resolved)

    await catalog.refresh()

    assert len(parts.registry.resolved) == asked
    await catalog.close()


async def test_newer_versions_are_looked_for_in_the_background(parts: Serving) -> None:
    write_model(parts.folder, "double", "1")
    catalog = parts.catalog(Wanted("double"), refresh_s=0.01)
    catalog.start()
    await until(lambda: catalog.get("double"))
    write_model(parts.folder, "double", "2")

    await until(lambda: only(catalog).version == "2")
    await catalog.close()


async def test_models_that_come_into_a_folder_of_which_all_are_served_are_loaded_too(
    parts: Serving,
) -> None:
    write_model(parts.folder, "double")
    catalog = parts.catalog(all_models=True, refresh_s=0.01)
    catalog.start()
    await until(lambda: catalog.is_ready)
    assert catalog.default_name() == "double"
    write_model(parts.folder, "later")

    await until(lambda: catalog.get("later"))
    assert catalog.is_ready
    assert catalog.names() == ["double", "later"]
    parts.registry.is_away = True
    await until(lambda: catalog.registry_errors > 1)
    assert catalog.names() == ["double", "later"]
    await catalog.close()


def told(catalog: Catalog, outcomes: Outcomes, *codes: str) -> None:
    """Requests to what answers now, that ended so."""
    for code in codes:
        loaded = catalog.get("double")
        assert loaded is not None
        trace = Trace("POST")
        trace.ref, trace.code = loaded.ref, code
        outcomes.record(trace)


async def switched(parts: Serving, outcomes: Outcomes) -> Catalog:
    """From version 1, of which a tenth of the requests failed, to version 2."""
    write_model(parts.folder, "double", "1")
    catalog = parts.catalog(Wanted("double"), outcomes=outcomes)
    await catalog.find("double")
    told(catalog, outcomes, *[""] * 90, *["model-failed"] * 10)
    write_model(parts.folder, "double", "2")
    await catalog.refresh()
    assert only(catalog).version == "2"
    return catalog


async def test_a_version_that_fails_more_often_than_the_one_before_makes_way(
    parts: Serving,
) -> None:
    outcomes = Outcomes(0.05, 300)
    catalog = await switched(parts, outcomes)

    told(catalog, outcomes, *[""] * 20, *["model-failed"] * 4)
    assert only(catalog).version == "2"  # too few to tell
    told(catalog, outcomes, "model-failed")

    status = only(catalog)
    assert status.version == "1"
    assert status.refused == "5 of its first 25 requests failed (20.0%), of version 1 10.0%"
    await catalog.refresh()
    assert only(catalog).version == "1"
    await catalog.refresh(is_asked_for=True)
    assert only(catalog).version == "2"
    await catalog.close()


@pytest.mark.parametrize("code", ["schema-mismatch", "overloaded", "deadline-exceeded"])
async def test_what_the_models_code_did_not_do_is_not_held_against_it(
    parts: Serving, code: str
) -> None:
    outcomes = Outcomes(0.05, 300)
    catalog = await switched(parts, outcomes)

    told(catalog, outcomes, *[code] * 50)

    assert only(catalog).version == "2"
    await catalog.close()


async def test_a_version_that_fails_as_often_as_the_one_before_stays(parts: Serving) -> None:
    outcomes = Outcomes(0.05, 300)
    catalog = await switched(parts, outcomes)

    told(catalog, outcomes, *[*[""] * 6, "model-failed"] * 10)

    assert only(catalog).version == "2"
    await catalog.close()


async def test_after_its_first_minutes_the_version_before_is_let_go(parts: Serving) -> None:
    outcomes = Outcomes(0.05, 0.0)
    pool = parts.pool()
    write_model(parts.folder, "double", "1")
    catalog = parts.catalog(Wanted("double"), outcomes=outcomes, pool=pool)
    before = (await catalog.find("double")).ref
    write_model(parts.folder, "double", "2")
    await catalog.refresh()
    assert pool.peek(before) is not None

    outcomes.end_old()

    assert pool.peek(before) is None
    told(catalog, outcomes, *["model-failed"] * 50)
    assert only(catalog).version == "2"
    await catalog.close()


async def test_the_version_before_is_let_go_also_where_nobody_looks_for_newer_ones(
    parts: Serving,
) -> None:
    pool = parts.pool()
    write_model(parts.folder, "double", "1")
    outcomes = Outcomes(0.05, 0.0, look_s=0.01)
    catalog = parts.catalog(Wanted("double"), outcomes=outcomes, pool=pool)
    catalog.start()
    await until(lambda: catalog.is_ready)
    before = (await catalog.find("double")).ref
    write_model(parts.folder, "double", "2")
    await catalog.refresh(is_asked_for=True)

    await until(lambda: pool.peek(before) is None)
    assert only(catalog).version == "2"
    await catalog.close()
