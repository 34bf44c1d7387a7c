"""Model folders on disk: whole or not there, fetched once for all, within a budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.azure.access import Access, Given
from app.errors import ModelInvalid, ModelUnavailable, RegistryUnavailable
from app.registries import Details, open_registry
from app.store import Store
from tests.writers import Empty, Writer, is_whole, leftovers, ref

LONG = "n" * 255


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path, 1000)
    store.open()
    return store


def test_a_folder_is_fetched_once_and_then_found(store: Store, tmp_path: Path) -> None:
    registry = Writer()

    folders = {store.get(ref("a"), registry) for _ in range(3)}

    assert folders == {tmp_path / "models/writer/a/1"}
    assert is_whole(folders.pop())
    assert registry.fetched == [ref("a")]
    assert store.size_bytes() == 10
    assert leftovers(tmp_path) == []


def test_many_threads_cause_one_fetch(store: Store) -> None:
    registry = Writer(pause_s=0.1)

    with ThreadPoolExecutor(8) as threads:
        folders = set(threads.map(lambda _: store.get(ref("a"), registry), range(8)))

    assert len(folders) == len(registry.fetched) == 1
    assert is_whole(folders.pop())


def test_different_models_are_fetched_at_the_same_time(store: Store) -> None:
    registry = Writer(pause_s=0.3)
    started = time.perf_counter()

    with ThreadPoolExecutor(4) as threads:
        folders = list(threads.map(lambda n: store.get(ref(n), registry), "abcd"))

    assert time.perf_counter() - started < 1.0
    assert all(is_whole(folder) for folder in folders)


def test_half_a_folder_of_a_killed_fetch_is_not_mixed_into_the_next(
    store: Store, tmp_path: Path
) -> None:
    registry = Writer()
    registry.error = KeyError("halfway")
    with pytest.raises(KeyError):
        store.get(ref("a"), registry)
    (identity,) = {path.name for path in (tmp_path / "locks").iterdir()} - {"room"}
    (tmp_path / "partial" / identity).mkdir()
    (tmp_path / "partial" / identity / "stale.onnx").touch()

    folder = store.get(ref("a"), Writer())

    assert sorted(path.name for path in folder.iterdir()) == ["model.onnx", "sub"]


@pytest.mark.parametrize(
    "error", [RegistryUnavailable("away"), KeyError("a bug"), OSError(5, "Input/output error")]
)
def test_a_fetch_that_fails_half_way_leaves_nothing_and_is_tried_again(
    store: Store, tmp_path: Path, error: Exception
) -> None:
    registry = Writer()
    registry.error = error

    with pytest.raises(ModelUnavailable if isinstance(error, OSError) else type(error)):
        store.get(ref("a"), registry)
    assert leftovers(tmp_path) == []
    assert store.size_bytes() == 0

    registry.error = None
    assert is_whole(store.get(ref("a"), registry))


def test_a_model_without_files_is_refused_and_not_kept(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match="the registry has no files for a:1"):
        store.get(ref("a"), Empty())

    assert list((tmp_path / "models").rglob("*")) == leftovers(tmp_path) == []


def test_the_folders_asked_for_longest_ago_make_room(store: Store, tmp_path: Path) -> None:
    registry = Writer(300)
    for name in "abcabd":
        store.get(ref(name), registry)

    kept = sorted(path.parent.name for path in tmp_path.glob("models/writer/*/1"))

    assert kept == ["a", "b", "d"]
    assert store.size_bytes() == 900
    assert leftovers(tmp_path) == []
    assert [r.name for r in registry.fetched] == ["a", "b", "c", "d"]


def test_a_folder_that_went_is_fetched_again(store: Store) -> None:
    registry = Writer(600)

    for name in "aba":
        assert is_whole(store.get(ref(name), registry), 600)

    assert [r.name for r in registry.fetched] == ["a", "b", "a"]


def test_a_model_bigger_than_the_budget_is_refused_with_the_numbers_and_evicts_nothing(
    store: Store, tmp_path: Path
) -> None:
    store.get(ref("small"), Writer())

    with pytest.raises(ModelUnavailable, match="take 1001 bytes, the cache may hold 1000 "):
        store.get(ref("huge"), Writer(1001))

    assert store.size_bytes() == 10
    assert leftovers(tmp_path) == []
    assert is_whole(store.get(ref("fits"), Writer(1000)), 1000)


def test_the_budget_holds_while_many_are_fetched_at_once(store: Store) -> None:
    registry = Writer(300, pause_s=0.02)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda n: store.get(ref(n), registry), "abcdefghijkl"))

    assert store.size_bytes() == 900


def test_a_folder_in_place_is_neither_copied_nor_counted(store: Store, tmp_path: Path) -> None:
    place = tmp_path / "registry/churn/1"
    place.mkdir(parents=True)
    (place / "model.onnx").write_bytes(b"x" * 5000)
    registry = open_registry("here", str(tmp_path / "registry"), Access(Given()))

    found = store.get(registry.resolve("churn", None), registry)

    assert found == place
    assert store.size_bytes() == 0
    assert leftovers(tmp_path) == list((tmp_path / "models").iterdir()) == []


def test_the_longest_names_fit(store: Store, tmp_path: Path) -> None:
    registry = Writer(pause_s=0)
    registry.error = KeyError("halfway")
    with pytest.raises(KeyError):
        store.get(ref(LONG, LONG), registry)

    registry.error = None
    assert is_whole(store.get(ref(LONG, LONG), registry))
    store.open()
    assert store.size_bytes() == 10


@pytest.mark.parametrize(
    ("one", "other"),
    [(("a", "b"), ("b", "a")), (("a", "b.c"), ("a.b", "c")), (("a", "b"), ("a", "B"))],
)
def test_different_versions_never_share_a_folder(
    store: Store, one: tuple[str, str], other: tuple[str, str]
) -> None:
    registry = Writer()

    assert store.get(ref(*one), registry) != store.get(ref(*other), registry)
    assert len(registry.fetched) == 2


def test_opening_twice_keeps_what_is_there(store: Store) -> None:
    registry = Writer()
    store.get(ref("a"), registry)

    store.open()

    assert is_whole(store.get(ref("a"), registry))
    assert registry.fetched == [ref("a")]


def test_an_exact_version_that_is_here_is_not_asked_for(store: Store) -> None:
    registry = Writer()
    store.get(ref("a", "2"), registry)

    assert store.resolve("a", "2", registry) == ref("a", "2")
    assert registry.asked == []
    assert store.resolve("a", "3", registry) == ref("a", "3")
    assert registry.asked == ["3"]


def test_while_the_registry_is_away_the_newest_is_the_last_one_found_that_is_here(
    store: Store,
) -> None:
    registry = Writer()
    for newest in ("4", "7"):
        registry.newest = newest
        store.get(store.resolve("a", None, registry), registry)
    registry.newest = "9"
    store.resolve("a", None, registry)  # found, and never fetched
    registry.is_away = True

    assert store.resolve("a", None, registry) == ref("a", "7")


@pytest.mark.parametrize("name", ["a", "..", "a/b", ""])
def test_a_registry_that_is_away_is_told_when_nothing_is_here(store: Store, name: str) -> None:
    registry = Writer()
    registry.is_away = True

    with pytest.raises(RegistryUnavailable, match="the registry is away"):
        store.resolve(name, None, registry)
    assert not store.is_warm(registry)


def test_what_the_registry_tells_is_kept_with_the_files_and_leaves_with_them(
    store: Store, tmp_path: Path
) -> None:
    registry = Writer(size=600)
    store.get(ref("a"), registry)
    registry.is_away = True

    assert store.details(ref("a"), registry) == Details("about a:1", tags={"stage": "prod"})
    assert store.is_warm(registry)
    store.get(ref("b"), registry)  # which takes the room of a

    assert store.details(ref("a"), registry) == Details()
    assert [p.name for p in (tmp_path / "details").rglob("*") if p.is_file()] == ["1"]


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"colour": 1}', b"\xff"])
def test_broken_details_are_none(store: Store, tmp_path: Path, text: bytes) -> None:
    registry = Writer()
    store.get(ref("a"), registry)
    (tmp_path / "details/writer/a/1").write_bytes(text)

    assert store.details(ref("a"), registry) == Details()


def test_what_is_made_from_a_model_is_made_once_and_whole(store: Store, tmp_path: Path) -> None:
    made = list[Path]()

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "file").write_bytes(b"x" * 10)

    def fail(folder: Path) -> None:
        make(folder)
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        store.made("ab12", fail)
    with ThreadPoolExecutor(4) as threads:
        folders = set(threads.map(lambda _: store.made("ab12", make), range(4)))

    assert folders == {tmp_path / "converted/ab12"}
    assert len(made) == 2
    assert store.size_bytes() == 10
    assert leftovers(tmp_path) == []


def sized(size: int) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / "file").write_bytes(b"x" * size)

    return make


def test_what_is_made_from_models_counts_and_goes_as_they_do(store: Store, tmp_path: Path) -> None:
    store.made("old", sized(600))
    time.sleep(0.01)
    store.made("new", sized(600))

    assert [path.name for path in (tmp_path / "converted").iterdir()] == ["new"]
    with pytest.raises(ModelUnavailable, match="the cache may hold 1000"):
        store.made("large", sized(2000))


def test_a_folder_under_lease_stays_and_others_go(store: Store, tmp_path: Path) -> None:
    registry = Writer(400)
    lease = store.lease(ref("a"), registry)
    with store.lease(ref("a"), registry) as again:  # by somebody else
        assert again.folder == lease.folder
    for name in "bcd":
        store.get(ref(name), registry)

    assert is_whole(lease.folder, 400)
    kept = sorted(path.parent.name for path in tmp_path.glob("models/writer/*/1"))
    assert kept == ["a", "d"]
    lease.close()
    for name in "ef":
        store.get(ref(name), registry)
    assert not lease.folder.exists()


def test_when_all_room_is_under_lease_it_is_told_with_the_numbers(store: Store) -> None:
    registry = Writer(600)
    with (
        store.lease(ref("a"), registry),
        pytest.raises(ModelUnavailable, match="being loaded have 600 of the 1000 that the cache"),
    ):
        store.get(ref("b"), registry)

    assert is_whole(store.get(ref("b"), registry), 600)


def test_many_leases_at_once_on_a_tight_budget_each_find_their_folder_whole(store: Store) -> None:
    registry = Writer(400, pause_s=0.001)

    def use(name: str) -> bool:
        try:
            with store.lease(ref(name), registry) as lease:
                time.sleep(0.002)
                return is_whole(lease.folder, 400)
        except ModelUnavailable:  # all room is leased just now
            return True

    with ThreadPoolExecutor(6) as threads:
        assert all(threads.map(use, "abcdefgh" * 10))


def test_a_folder_in_place_needs_no_lease(store: Store, tmp_path: Path) -> None:
    place = tmp_path / "registry/churn/1"
    place.mkdir(parents=True)
    registry = open_registry("here", str(tmp_path / "registry"), Access(Given()))
    (place / "model.onnx").touch()

    with store.lease(ref("churn"), registry) as lease:
        assert lease.folder == place
