"""Where the SDK's own download fails a server, our fetch does the right thing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.errors import ModelInvalid, RegistryUnavailable
from app.store import Store
from tests.azure.conftest import Bring, Open, files_of, leftovers
from tests.azure.control_plane import CONTAINER, GROUP, REGISTRY, REGISTRY_CONTAINER, SUBSCRIPTION
from tests.azure.fixtures import Azure
from tests.azure.gateway import Gateway
from tests.azure.proxy import Proxy
from tests.azure.storage import Storage
from tests.server import ROOT

MB = 1 << 20
CLIENTS = ["rest", "sdk"]


def test_a_model_whose_name_begins_another_is_fetched_without_the_other(bring: Bring) -> None:
    files = {"iris/model.onnx": b"1", "iris-extra/model.onnx": b"2", "iris.txt": b"3"}

    assert bring(files, "iris") == {"model.onnx": b"1"}


@pytest.mark.parametrize("path", ["none", "m/", "m/model"])
def test_a_folder_without_files_is_refused_and_not_kept(
    bring: Bring, path: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelInvalid, match=r"no files below .* in container azureml-blobstore"):
        bring({"m": b""} if path == "m/" else {"m/model.onnx": b"1"}, path.replace("m/", "m/x"))
    assert leftovers(tmp_path / "store") == []


CHILD = """
import sys; from pathlib import Path
from app.azure.access import Access, Given
from app.registries import open_registry; from app.store import Store
def told(field): return int(Path("/proc/self/status").read_text().split(field)[1].split()[0])
store = Store(Path(sys.argv[1]), 1 << 40); store.open()
registry = open_registry("here", sys.argv[2], Access(Given()))
ref = registry.resolve("m", None)
Path("/proc/self/clear_refs").write_text("5")
idle = told("VmRSS:")
store.get(ref, registry)
print((told("VmHWM:") - idle) // 1024)
"""


def child(azure: Azure, folder: Path, storage: Storage, prefix: str) -> subprocess.Popen[str]:
    """A process that fetches the model `m` into a store at `folder`."""
    url = f"{storage.url}/models/{prefix}?{azure.storage.sas('models')}"
    command = [sys.executable, "-c", CHILD, str(folder), url]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ['PYTHONPATH']}"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=env)


def test_a_fetch_that_is_killed_half_way_leaves_nothing_and_the_next_one_is_whole(
    azure: Azure, store: Store, open_at: Open, prefix: str, tmp_path: Path
) -> None:
    big = random.randbytes(6 * MB)
    azure.storage.put("models", {f"{prefix}/m/1/model.onnx": big, f"{prefix}/m/1/a.txt": b"a"})
    with Proxy(azure.storage.port, rate=MB) as proxy:
        process = child(azure, tmp_path / "store", Storage(proxy.port), prefix)
        until = time.monotonic() + 30
        while proxy.returned_bytes < MB and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert [path.parent.name for path in leftovers(tmp_path / "store")] == ["partial"]

    store.open()

    assert leftovers(tmp_path / "store") == []
    registry = open_at(f"{azure.storage.url}/models/{prefix}?{azure.storage.sas('models')}")
    assert files_of(store, registry) == {"model.onnx": big, "a.txt": b"a"}


@pytest.mark.parametrize("cut_at", [0, 9_999])
def test_a_body_that_ends_early_is_asked_for_again(
    gateway: Gateway, bring: Bring, cut_at: int
) -> None:
    gateway.fail("model.onnx", cut_at=cut_at, count=1)

    assert bring({"m/model.onnx": b"x" * 10_000}) == {"model.onnx": b"x" * 10_000}


def test_a_body_that_always_ends_early_is_told_and_nothing_is_kept(
    gateway: Gateway, bring: Bring, tmp_path: Path
) -> None:
    gateway.fail("model.onnx", cut_at=9_999)

    with pytest.raises(RegistryUnavailable, match=r"container azureml-blobstore .* broke off"):
        bring({"m/model.onnx": b"x" * 10_000})
    assert leftovers(tmp_path / "store") == []


@pytest.mark.parametrize("becomes", ["other", "shorter", "gone"])
def test_a_blob_that_is_changed_between_list_and_get_is_told_and_fetched_when_tried_again(
    azure: Azure, gateway: Gateway, bring: Bring, store: Store, open_at: Open, prefix: str,
    becomes: str,
) -> None:  # fmt: skip
    def change() -> None:
        if becomes == "gone":
            azure.storage.container(CONTAINER).delete_blob(f"{prefix}/m/model.onnx")
        else:
            new = {"other": b"2" * 100, "shorter": b"3"}[becomes]
            azure.storage.put(CONTAINER, {f"{prefix}/m/model.onnx": new})

    gateway.fail("model.onnx", does=change, count=1)

    with pytest.raises(RegistryUnavailable, match=r'"model\.onnx" was changed or deleted while'):
        bring({"m/model.onnx": b"1" * 100, "m/b.txt": b"b"})
    assert files_of(store, open_at()).get("model.onnx", b"gone") in (b"2" * 100, b"3", b"gone")


def test_a_large_blob_that_is_changed_in_mid_download_is_never_a_mixture(
    azure: Azure, gateway: Gateway, bring: Bring, prefix: str, tmp_path: Path
) -> None:
    def change() -> None:
        azure.storage.put(CONTAINER, {f"{prefix}/m/model.onnx": b"2" * 5 * MB})

    gateway.fail("nothing", count=0)
    gateway.fail("model.onnx", ranged=True, count=1)
    gateway.fail("model.onnx", ranged=True, does=change, count=1)

    with pytest.raises(RegistryUnavailable, match="was changed or deleted"):
        bring({"m/model.onnx": b"1" * 5 * MB})
    assert leftovers(tmp_path / "store") == []


def test_a_body_that_is_not_what_was_stored_is_refused_by_its_md5(
    gateway: Gateway, bring: Bring, tmp_path: Path
) -> None:
    gateway.fail("model.onnx", spoils=True, ranged=True)

    with pytest.raises(RegistryUnavailable, match=r'"model\.onnx" is not what was stored: its MD5'):
        bring({"m/model.onnx": b"x" * 10_000})
    assert leftovers(tmp_path / "store") == []


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("path", ["paths", "paths/paths", "a/paths/datastores/paths/b"])
def test_a_folder_may_be_called_paths(bring: Bring, client: str, path: str) -> None:
    assert bring({f"{path}/paths/f": b"1"}, path, client) == {"paths/f": b"1"}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("form", ["short", "resourcegroups", "WS"])
def test_addresses_of_files_come_in_several_forms(
    azure: Azure, store: Store, open_at: Open, prefix: str, client: str, form: str
) -> None:
    azure.storage.put(CONTAINER, {f"{prefix}/m/f": b"1"})
    place = f"subscriptions/{SUBSCRIPTION}/resourcegroups/{GROUP.upper()}/workspaces/churn-WS/"
    uri = f"azureml://{'' if form == 'short' else place}datastores/workspaceblobstore/paths/"
    azure.plane.workspace.put("m", "1", {"modelUri": f"{uri}{prefix}/m/"})

    assert files_of(store, open_at(client=client)) == {"f": b"1"}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("place", ["workspace", "registry"])
def test_a_version_with_null_for_flavors_and_tags_is_fetched(
    azure: Azure, store: Store, open_at: Open, prefix: str, client: str, place: str
) -> None:
    azure.storage.put({"workspace": CONTAINER}.get(place, REGISTRY_CONTAINER), {f"{prefix}/f": b""})
    nothing = dict.fromkeys(("flavors", "tags", "properties", "description"))
    azure.plane.register("m", "1", prefix, place=place, **nothing)
    url = "azureml://workspace" if place == "workspace" else f"azureml://registries/{REGISTRY}"

    assert files_of(store, open_at(url, client=client)) == {"f": b""}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_registry_that_gives_no_credentials_is_read_by_our_own_identity(
    azure: Azure, store: Store, open_at: Open, prefix: str, client: str
) -> None:
    azure.plane.registry_gives_sas = False
    azure.storage.put(REGISTRY_CONTAINER, {f"{prefix}/f": b"1"})
    azure.plane.register("m", "1", prefix, place="registry")

    assert files_of(store, open_at(f"azureml://registries/{REGISTRY}", client=client)) == {
        "f": b"1"
    }


@pytest.mark.parametrize("megabytes", [48, pytest.param(300, marks=pytest.mark.long)])
def test_a_fetch_takes_under_64_mb_of_memory_however_large_a_file_is(
    azure: Azure, prefix: str, tmp_path: Path, megabytes: int
) -> None:
    name = f"{prefix}/m/1/model.onnx"
    azure.storage.put("models", {name: b"x" * megabytes * MB}, max_concurrency=4)
    process = child(azure, tmp_path / "store", azure.storage, prefix)
    told, _ = process.communicate(timeout=300)
    azure.storage.container("models").delete_blob(name)

    sys.stdout.write(f"{megabytes} MB: peak {told.strip()} MB above idle\n")
    assert process.returncode == 0
    assert int(told) < 64


def test_progress_is_told_up_to_the_last_byte(
    azure: Azure, open_at: Open, prefix: str, tmp_path: Path
) -> None:
    azure.storage.put("models", {f"{prefix}/m/1/{n}": b"x" * n * MB for n in (1, 2, 20)})
    registry = open_at(f"{azure.storage.url}/models/{prefix}?{azure.storage.sas('models')}")
    told: list[tuple[int, int]] = []

    registry.fetch(registry.resolve("m", None), tmp_path, lambda *n: told.append(n))
    assert told == sorted(told)
    assert len(told) >= 5
    assert told[-1] == (23 * MB, 23 * MB)
