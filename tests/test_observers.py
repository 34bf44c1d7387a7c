"""The shadow of a version is asked the same, compared and counted, and nobody waits for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.catalog import Catalog, Lineup, Wanted
from app.crashes import Attributed
from app.engine import Engine
from tests.models import write_times
from tests.server import serving as server_of
from tests.serving import Serving, Watched, ask, query, serving, until, write_model


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    with serving(tmp_path, monkeypatch) as made:
        for version in ("1", "2"):
            write_model(made.folder, "double", version)
        write_times(made.folder / "double/3", 3)
        yield made


async def started(parts: Serving, shadow: str) -> tuple[Catalog, Engine]:
    catalog = parts.catalog(Wanted("double", "1", lineup=Lineup(shadow=shadow)))
    catalog.start()
    await until(lambda: catalog.get("double") and catalog.shadow("double"))
    return catalog, parts.engine(catalog)


@pytest.mark.parametrize(("shadow", "outcome"), [("2", "agrees"), ("3", "differs")])
async def test_each_answer_is_compared_and_stays_as_it_is(
    parts: Serving, shadow: str, outcome: str
) -> None:
    catalog, engine = await started(parts, shadow)

    for _ in range(3):
        assert await ask(engine, query({"data": [[1.0], [2.0]]})) == [[2.0], [4.0]]
        await until(lambda: not parts.shadows._running)

    assert parts.shadows.counts == Counter({("double", "1", shadow, outcome): 3})
    await catalog.close()


async def test_a_shadow_that_fails_or_is_slow_is_counted_and_harms_nobody(parts: Serving) -> None:
    catalog, engine = await started(parts, "2")
    loaded = catalog.shadow("double")
    assert loaded is not None
    assert isinstance(loaded.model, Attributed)
    shadow = loaded.model.model
    assert isinstance(shadow, Watched)
    shadow.error = ValueError("13")
    await ask(engine, query({"data": [[1.0]]}))
    await until(lambda: not parts.shadows._running)
    assert parts.shadows.counts["double", "1", "2", "failed"] == 1

    shadow.error = None
    shadow.gate.clear()
    for _ in range(12):
        assert await ask(engine, query({"data": [[1.0]]})) == [[2.0]]
    assert parts.shadows.counts["double", "1", "2", "skipped"] == 4  # eight wait
    shadow.gate.set()
    await until(lambda: not parts.shadows._running)
    await catalog.close()


async def test_a_request_for_the_shadow_itself_is_not_compared(parts: Serving) -> None:
    catalog, engine = await started(parts, "3")

    assert await ask(engine, query({"data": [[1.0]]}, version="3")) == [[3.0]]

    assert not parts.shadows.counts
    await catalog.close()


def test_metrics_tell_how_often_they_agree(tmp_path: Path) -> None:
    for version in (1, 2):
        write_times(tmp_path / f"registry/times/{version}", version)
    config = tmp_path / "serve.yaml"
    config.write_text("models: [{name: times, version: 1, shadow: 2}]")
    settings = {"SERVE_REGISTRY": str(tmp_path / "registry"), "SERVE_CONFIG": str(config)}
    line = (
        'model_shadow_agreement_total{model="times",outcome="differs",shadow="2",version="1"} 1.0'
    )
    with server_of(**settings) as server:
        assert server.score("times", [[1.0]]) == [[1.0]]
        server.wait_until(lambda: line in server.get("/metrics").text)
