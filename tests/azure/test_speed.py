"""Many small files over a long way, and a large one over narrow connections, are fetched at once.

Times are compared with what the way itself takes; `make test-full` has the full sizes.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from app.store import Store
from tests.azure.conftest import Open, files_of
from tests.azure.fixtures import Azure
from tests.azure.proxy import Proxy
from tests.azure.storage import Storage

MB = 1 << 20
ROUND_TRIP_S = 0.02


def timed(azure: Azure, open_at: Open, folder: Path, proxy: Proxy, prefix: str) -> float:
    """Seconds from nothing to the model in the store."""
    url = f"{Storage(proxy.port).url}/models/{prefix}?{azure.storage.sas('models')}"
    registry = open_at(url)
    store = Store(folder, 1 << 40)
    store.open()
    started = time.perf_counter()
    store.get(registry.resolve("m", None), registry)
    took_s = time.perf_counter() - started
    assert files_of(store, registry)
    return took_s


def small_files(azure: Azure, prefix: str) -> None:
    files = {f"{prefix}/m/1/{n:03}.bin": bytes([n]) * 20_000 for n in range(100)}
    azure.storage.put("models", files)


def test_a_hundred_small_files_take_a_third_of_their_round_trips(
    azure: Azure, open_at: Open, prefix: str, tmp_path: Path
) -> None:
    small_files(azure, prefix)
    with Proxy(azure.storage.port, round_trip_s=5 * ROUND_TRIP_S) as proxy:
        took_s = timed(azure, open_at, tmp_path, proxy, prefix)

    sys.stdout.write(f"100 files of 20 kB at {5 * ROUND_TRIP_S * 1e3:.0f} ms: {took_s:.2f} s\n")
    assert took_s < 100 * 5 * ROUND_TRIP_S / 3


def test_a_large_file_comes_over_four_connections_and_more(
    azure: Azure, open_at: Open, prefix: str, tmp_path: Path
) -> None:
    rate, size = 2 * MB, 24 * MB
    azure.storage.put("models", {f"{prefix}/m/1/model.onnx": b"x" * size})
    with Proxy(azure.storage.port, rate=rate) as proxy:
        took_s = timed(azure, open_at, tmp_path, proxy, prefix)

    sys.stdout.write(f"{size // MB} MB: {size / rate / took_s:.1f} connections' worth\n")
    assert size / rate / took_s > 4


@pytest.mark.full
def test_full_sizes_are_fetched_in_the_time_that_was_promised(
    azure: Azure, open_at: Open, prefix: str, tmp_path: Path
) -> None:
    small_files(azure, prefix)
    with Proxy(azure.storage.port, round_trip_s=ROUND_TRIP_S) as proxy:
        timed(azure, open_at, tmp_path / "first", proxy, prefix)
        small_s = min(timed(azure, open_at, tmp_path / f"{n}", proxy, prefix) for n in range(5))
    rate, size, name = 40 * MB, 500 * MB, f"{prefix}-big/m/1/model.onnx"
    azure.storage.put("models", {name: b"x" * size}, max_concurrency=4)
    with Proxy(azure.storage.port, rate=rate) as proxy:
        large_s = timed(azure, open_at, tmp_path / "large", proxy, f"{prefix}-big")
    azure.storage.container("models").delete_blob(name)

    worth = size / rate / large_s
    sys.stdout.write(f"100 files: {small_s:.2f} s; 500 MB: {worth:.1f} connections' worth\n")
    assert small_s < 1
    assert worth > 4
