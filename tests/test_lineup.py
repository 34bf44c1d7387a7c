"""Which version of a name answers a request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog import Catalog, Lineup, State, Wanted
from app.errors import ModelNotFound
from app.pool import Loaded
from tests.serving import Serving, serving, states, until, write_model


@dataclass
class Request:
    request_id: bytes
    headers: dict[bytes, bytes] = field(default_factory=dict)


def first(lineup: Lineup, request_id: bytes, **headers: str) -> str:
    given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return next(lineup.order(Request(request_id, given)))


def test_each_version_has_its_share() -> None:
    lineup = Lineup(traffic={"1": 90, "2": 10})
    found = Counter(first(lineup, b"%d" % n) for n in range(20_000))

    assert found["1"] / 20_000 == pytest.approx(0.9, abs=0.01)
    assert found["2"] / 20_000 == pytest.approx(0.1, abs=0.01)


def test_a_user_stays_with_a_version_by_the_header_that_the_operator_names() -> None:
    lineup = Lineup(traffic={"1": 50, "2": 50}, traffic_by=b"x-user")
    of_users = [
        {first(lineup, b"%d" % n, x_user=f"user {user}") for n in range(20)} for user in range(40)
    ]

    assert all(len(found) == 1 for found in of_users)
    assert {version for found in of_users for version in found} == {"1", "2"}


def test_without_that_header_the_request_id_decides() -> None:
    lineup = Lineup(traffic={"1": 50, "2": 50}, traffic_by=b"x-user")

    assert {first(lineup, b"%d" % n) for n in range(50)} == {"1", "2"}


shares = st.dictionaries(st.text("123", min_size=1), st.floats(0, 100), max_size=5)


@given(shares, st.binary(max_size=40))
def test_every_version_with_a_share_comes_once_and_no_other(
    traffic: dict[str, float], request_id: bytes
) -> None:
    order = list(Lineup(traffic=traffic).order(Request(request_id)))

    assert sorted(order) == sorted(version for version, share in traffic.items() if share > 0)
    assert order == list(Lineup(traffic=traffic).order(Request(request_id)))


def test_versions_are_those_of_traffic_labels_and_shadow_each_once() -> None:
    lineup = Lineup({"stable": "1", "candidate": "2"}, {"1": 90, "2": 10}, shadow="3")

    assert lineup.versions() == ["1", "2", "3"]


LINEUP = Lineup({"stable": "1", "candidate": "2"}, {"1": 90, "2": 10}, shadow="10")


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    with serving(tmp_path, monkeypatch) as made:
        for version in ("1", "2", "3", "10"):
            write_model(made.folder, "double", version)
        yield made


async def started(parts: Serving, lineup: Lineup) -> Catalog:
    catalog = parts.catalog(Wanted("double", lineup=lineup))
    catalog.start()
    await until(lambda: catalog.is_ready)
    return catalog


def version(loaded: Loaded | None) -> str:
    assert loaded is not None
    return loaded.ref.version


async def test_a_catalog_shares_the_requests_that_name_no_version(parts: Serving) -> None:
    catalog = await started(parts, LINEUP)
    asked = [Request(b"%d" % n) for n in range(500)]
    found = Counter(version(catalog.get("double", None, asker)) for asker in asked)

    assert set(found) == {"1", "2"}
    assert found["1"] > 8 * 25
    assert version(await catalog.find("double", None, asked[0])) in found
    await catalog.close()


async def test_a_label_is_as_good_as_its_version(parts: Serving) -> None:
    catalog = await started(parts, LINEUP)

    assert version(catalog.get("double", "candidate")) == "2"
    assert version(await catalog.find("double", "stable")) == "1"
    with pytest.raises(ModelNotFound):
        await catalog.find("double", "unstable")
    await catalog.close()


async def test_what_a_lineup_names_is_preloaded_and_the_shadow_is_not_heard(
    parts: Serving,
) -> None:
    catalog = await started(parts, LINEUP)
    await until(lambda: catalog.shadow("double"))

    assert states(catalog) == {f"double:{v}": State.READY for v in ("1", "2", "10")}
    assert version(catalog.shadow("double")) == "10"
    assert catalog.shadow("nobody") is None
    await catalog.close()


async def test_without_traffic_labels_leave_the_newest_to_answer(parts: Serving) -> None:
    catalog = await started(parts, Lineup({"stable": "1"}))

    assert version(catalog.get("double")) == "10"
    assert version(catalog.get("double", "stable")) == "1"
    await catalog.close()


async def test_a_version_that_cannot_be_loaded_gets_no_traffic(parts: Serving) -> None:
    (parts.folder / "double/2/model.onnx").write_bytes(b"no model")
    catalog = parts.catalog(Wanted("double", lineup=Lineup(traffic={"1": 50, "2": 50})))
    catalog.start()
    await until(lambda: State.READY in states(catalog).values())
    await until(lambda: State.FAILED in states(catalog).values())

    found = {version(catalog.get("double", None, Request(b"%d" % n))) for n in range(50)}
    assert found == {"1"}
    await catalog.close()
