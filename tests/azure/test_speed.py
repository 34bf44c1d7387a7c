"""Many small files over a long way, and a large one over narrow connections, are fetched at once.

Times are compared with what the way itself takes; `make test-full` has the full sizes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.store import Store
from tests.azure.conftest import Open, files_of
from tests.azure.fixtures import Azure
from tests.azure.gateway import Gateway
from tests.azure.proxy import Proxy
from tests.azure.storage import Storage
from tests.server import ROOT

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
    worth = large_worth(azure, tmp_path, prefix)

    sys.stdout.write(f"100 files: {small_s:.2f} s; 500 MB: {worth:.1f} connections' worth\n")
    assert small_s < 1
    assert worth > 4


CHILD = """
import sys, time; from pathlib import Path
from app.azure.access import Access, Given; from app.registries import open_registry
registry = open_registry("here", sys.argv[2], Access(Given()))
ref = registry.resolve("m", None)
started = time.perf_counter()
registry.fetch(ref, Path(sys.argv[1]))
print(time.perf_counter() - started)
"""


def large_worth(azure: Azure, folder: Path, prefix: str) -> float:
    """Connections' worth of a blob of 500 MB, which comes from memory: the storage is slower."""
    rate, size, name = 40 * MB, 500 * MB, f"{prefix}-big/m/1/model.onnx"
    azure.storage.put("models", {name: b"x" * size}, max_concurrency=4)
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ['PYTHONPATH']}"}
    took_s = []
    with (
        Gateway(azure.certificates, azure.storage) as gateway,
        Proxy(gateway.storage.port, rate=rate) as proxy,
    ):
        gateway.remembers = True
        at = f"{Storage(proxy.port).url}/models/{prefix}-big?{azure.storage.sas('models')}"
        for n in range(3):
            target = folder / f"large-{n}"
            target.mkdir()
            command = [sys.executable, "-c", CHILD, str(target), at]
            took_s.append(float(subprocess.check_output(command, env=env, cwd=ROOT)))
            shutil.rmtree(target)
    azure.storage.container("models").delete_blob(name)
    return size / rate / min(took_s)
