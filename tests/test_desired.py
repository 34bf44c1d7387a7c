"""What the operator lists, and over it what an administrator asks for, holds as it changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from app.catalog import Catalog, Lineup, State, Wanted
from app.catalog.desired import Desired, DesiredFile, Desires
from app.errors import ModelUnavailable
from app.pool import Options
from tests.serving import Serving, serving, states, until, write_model


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    with serving(tmp_path, monkeypatch) as made:
        for name in ("a", "b"):
            for version in ("1", "2"):
                write_model(made.folder, name, version)
        yield made


async def ready(catalog: Catalog, *models: str) -> None:
    """Until these are in memory, and nothing else is known of."""
    await until(lambda: states(catalog) == dict.fromkeys(models, State.READY))


async def test_what_is_listed_anew_is_loaded_and_what_is_not_any_more_leaves(
    parts: Serving,
) -> None:
    pool = parts.pool()
    catalog = parts.catalog(Wanted("a"), pool=pool)
    catalog.start()
    await until(lambda: catalog.is_ready)

    catalog.put([Wanted("b", "1")])
    assert catalog.is_ready  # who was ready need not wait for what came later
    await ready(catalog, "b:1")
    assert catalog.names() == ["b"]
    assert pool.size_bytes() == sum(
        status.loaded.size_bytes for status in catalog.status() if status.loaded
    )
    await catalog.close()


async def test_other_options_hold_at_once_and_load_nothing(parts: Serving) -> None:
    catalog = parts.catalog(Wanted("a"))
    catalog.start()
    await ready(catalog, "a:2")

    catalog.put([Wanted("a", options=Options(timeout_s=7, is_pinned=True))])

    loaded = catalog.get("a")
    assert loaded is not None
    assert (loaded.timeout_s, loaded.is_pinned) == (7, True)
    assert parts.loads == ["a"]
    await catalog.close()


async def test_an_administrator_loads_versions_beside_those_listed(parts: Serving) -> None:
    catalog = parts.catalog(Wanted("a", "2"))
    catalog.start()

    catalog.desire(Desires({"a": Desired(loaded=("1",)), "b": Desired(loaded=(None,))}))

    await ready(catalog, "a:1", "a:2", "b:2")
    await catalog.close()


async def test_what_is_unloaded_is_not_served_until_it_is_loaded(parts: Serving) -> None:
    catalog = parts.catalog(Wanted("a"), Wanted("b"))
    catalog.start()
    await ready(catalog, "a:2", "b:2")

    catalog.desire(Desires({"a": Desired(is_unloaded=True)}))
    assert states(catalog) == {"b:2": State.READY}
    with pytest.raises(ModelUnavailable, match="was unloaded; POST /admin/models/a/load"):
        await catalog.find("a")

    catalog.desire(Desires({"a": Desired(loaded=(None,))}))
    await ready(catalog, "a:2", "b:2")
    await catalog.close()


async def test_labels_and_shares_change_without_a_load_of_what_is_there(parts: Serving) -> None:
    lineup = Lineup({"stable": "1"}, {"1": 100, "2": 0})
    catalog = parts.catalog(Wanted("a", lineup=lineup))
    catalog.start()
    await ready(catalog, "a:1", "a:2")

    catalog.desire(Desires({"a": Desired(labels={"stable": "2"}, traffic={"1": 0, "2": 100})}))

    assert version_of(catalog, None) == version_of(catalog, "stable") == "2"
    assert parts.loads == ["a", "a"]
    catalog.desire(Desires())
    assert version_of(catalog, None) == version_of(catalog, "stable") == "1"
    await catalog.close()


async def test_a_refresh_that_is_asked_for_is_done_once(parts: Serving) -> None:
    catalog = parts.catalog(Wanted("a"))
    catalog.start()
    await ready(catalog, "a:2")
    write_model(parts.folder, "a", "3")

    catalog.desire(Desires({"a": Desired(refreshes=1)}))
    await ready(catalog, "a:3")
    asked = len(parts.registry.resolved)
    catalog.desire(Desires({"a": Desired(refreshes=1, labels={"x": "3"})}))
    assert len(parts.registry.resolved) == asked
    await catalog.close()


def version_of(catalog: Catalog, version: str | None) -> str:
    loaded = catalog.get("a", version)
    assert loaded is not None
    return loaded.ref.version


def test_the_file_tells_what_was_written_and_each_change_once(tmp_path: Path) -> None:
    file, other = DesiredFile(tmp_path / "desired.json"), DesiredFile(tmp_path / "desired.json")
    assert file.changed() is None

    file.change("a", lambda desired: replace(desired, loaded=("1", None), traffic={"1": 2.5}))
    file.change("b", lambda desired: replace(desired, is_unloaded=True))

    found = other.changed()
    assert found == Desires({"a": Desired(("1", None), traffic={"1": 2.5}), "b": Desired((), True)})
    assert other.changed() is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["desired.json", "desired.lock"]


def test_changes_of_many_processes_are_all_kept(tmp_path: Path) -> None:
    def add(number: int) -> None:
        file = DesiredFile(tmp_path / "desired.json")
        file.change("a", lambda d: replace(d, loaded=(*d.loaded, str(number))))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(40)))

    kept = DesiredFile(tmp_path / "desired.json").read().of("a").loaded
    assert sorted(map(int, filter(None, kept))) == list(range(40))


BROKEN = [
    "", "[]", "{", '{"models": []}', '{"models": {"a": {"colour": 1}}}', '{"models": {"a": 1}}',
    '{"models": {"a": {"labels": {"x": "../up"}}}}', json.dumps({"models": {"a": {"loaded": 3}}}),
]  # fmt: skip


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "desired.json").write_text(text)

    assert DesiredFile(tmp_path / "desired.json").changed() == Desires()
