"""Which version answers after a restart, and in the other workers, where the newest may not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.catalog import Catalog, Outcomes, Wanted
from app.errors import ModelUnavailable, RegistryUnavailable
from app.telemetry import Trace
from tests.serving import Serving, serving, until, write_model

WRONG = json.dumps([{"request": {"data": [[1.0]]}, "results": [[3.0]]}])


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    with serving(tmp_path, monkeypatch) as parts:
        write_model(parts.folder, "double", "1")
        yield parts


async def version(catalog: Catalog) -> str:
    return (await catalog.find("double")).ref.version


async def noted(parts: Serving, version: str, refused: str = "") -> None:
    """Until it is written, by a loading thread."""

    def is_written() -> bool:
        told = parts.store.answering("double", parts.registry)
        return (told.version, told.refused) == (version, refused)

    await until(is_written)


async def before(parts: Serving) -> None:
    """A process that has answered by version 1, and is gone."""
    catalog = parts.catalog(Wanted("double"))
    assert await version(catalog) == "1"
    await noted(parts, "1")
    await catalog.close()


async def stepped_back(
    parts: Serving, catalog: Catalog, outcomes: Outcomes, *others: Catalog
) -> None:
    """Version 2 has come and gone; in `others` it answers."""
    assert await version(catalog) == "1"
    write_model(parts.folder, "double", "2")
    for other in others:
        assert await version(other) == "2"
    await catalog.refresh()
    loaded = await catalog.find("double")
    for _ in range(10):
        trace = Trace("POST")
        trace.ref, trace.code = loaded.ref, "model-failed"
        outcomes.record(trace)
    assert await version(catalog) == "1"
    await noted(parts, "1", refused="2")


async def test_the_version_that_answered_before_a_restart_answers_where_the_newest_is_refused(
    parts: Serving,
) -> None:
    await before(parts)
    write_model(parts.folder, "double", "2", golden=WRONG)
    catalog = parts.catalog(Wanted("double"))

    assert await version(catalog) == "1"
    (status,) = catalog.status()
    assert (status.version, status.refused_version) == ("1", "2")
    assert "wanted 3.0" in status.refused

    write_model(parts.folder, "double", "3")
    await catalog.refresh()
    assert await version(catalog) == "3"
    await catalog.close()


async def test_where_neither_can_be_loaded_both_reasons_are_told(parts: Serving) -> None:
    await before(parts)
    shutil.rmtree(parts.folder / "double/1")
    write_model(parts.folder, "double", "2", golden=WRONG)
    catalog = parts.catalog(Wanted("double"))

    with pytest.raises(ModelUnavailable, match=r"wanted 3\.0; nor can version 1 before it: "):
        await version(catalog)
    await catalog.close()


async def test_a_step_back_outlives_a_restart_until_the_version_is_asked_for(
    parts: Serving,
) -> None:
    outcomes = Outcomes(0.05, 300)
    first = parts.catalog(Wanted("double"), outcomes=outcomes)
    await stepped_back(parts, first, outcomes)
    await first.close()

    for _ in range(2):
        catalog = parts.catalog(Wanted("double"))
        assert await version(catalog) == "1"
        assert catalog.status()[0].refused.startswith("5 of its first 5 requests failed")
        await noted(parts, "1", refused="2")
    await catalog.refresh(is_asked_for=True)
    assert await version(catalog) == "2"
    await noted(parts, "2")
    await catalog.close()
    assert await version(parts.catalog(Wanted("double"))) == "2"


async def test_other_workers_step_back_too(parts: Serving) -> None:
    outcomes = Outcomes(0.05, 300)
    first = parts.catalog(Wanted("double"), outcomes=outcomes)
    other, third = (parts.catalog(Wanted("double")) for _ in range(2))
    assert await version(other) == "1"
    await stepped_back(parts, first, outcomes, third)
    late = parts.catalog(Wanted("double", "2"))
    assert (await late.find("double")).ref.version == "2"  # an exact version is what it is
    await other.refresh()
    assert await version(other) == "1"  # it has never tried version 2
    assert other.status()[0].refused_version == "2"
    await third.refresh()
    assert await version(third) == "1"
    for catalog in (first, other, third, late):
        await catalog.close()


async def test_a_newer_version_that_cannot_be_fetched_now_is_tried_at_the_next_look(
    parts: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = parts.catalog(Wanted("double"))
    assert await version(catalog) == "1"
    write_model(parts.folder, "double", "2")
    tries = []

    def broken(*given: object) -> Path:
        tries.append(given)
        raise RegistryUnavailable("the connection broke off")

    monkeypatch.setattr(parts.registry, "fetch", broken)
    for _ in range(2):
        await catalog.refresh()
    (status,) = catalog.status()
    assert (status.version, status.stale, status.refused) == ("1", "the connection broke off", "")
    assert len(tries) == 2

    monkeypatch.undo()
    await catalog.refresh()
    assert await version(catalog) == "2"
    await catalog.close()
