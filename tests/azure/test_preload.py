"""Models that are to be there at the start are fetched side by side."""

from __future__ import annotations

import time
from pathlib import Path

from tests.azure.control_plane import CONTAINER
from tests.azure.fixtures import OLDER, Azure
from tests.commands import models
from tests.server import CLAIM, SAMPLES, serving

NAMES = ["a", "b", "c", "d"]
SLOW_S = 1.5


def fill(azure: Azure) -> None:
    """Four models, each of whose fetches takes `SLOW_S` in a request that no other waits for."""
    azure.storage.put_folder(CONTAINER, "preload", SAMPLES / CLAIM / "1")
    for name in NAMES:
        azure.plane.register(name, "1", "preload")
    azure.plane.slow("/listSecrets", SLOW_S)


def test_a_server_fetches_four_models_at_once(azure: Azure) -> None:
    fill(azure)
    settings = {**azure.environment(), **OLDER, "SERVE_REGISTRY": ""}
    with serving(SERVE_MODELS=",".join(NAMES), **settings) as server:
        assert {model["state"] for model in server.models().values()} == {"READY"}

    assert azure.plane.asked("/listSecrets") == 4
    assert azure.plane.most_at_once == 4


def test_a_pull_fetches_four_models_at_once(azure: Azure, tmp_path: Path) -> None:
    fill(azure)
    started = time.monotonic()
    done = models(tmp_path, {**OLDER, "SERVE_MODELS": ",".join(NAMES)}, "pull")

    assert [line.split()[0] for line in done.stdout.splitlines()] == [f"{n}:1" for n in NAMES]
    assert azure.plane.most_at_once == 4
    assert time.monotonic() - started < 3 * SLOW_S
