"""Any blob that a disk can hold is fetched under its name; of others it is told which."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from app.errors import ModelInvalid, ModelUnavailable
from app.store import Store
from tests.azure.conftest import Bring, Open, files_of, leftovers
from tests.azure.control_plane import CONTAINER
from tests.azure.fixtures import Azure
from tests.azure.gateway import Gateway


@pytest.mark.parametrize(
    "name",
    [
        "a b.txt", "prozent%20.txt", "100%", "größe-模型.onnx", "plus+and&eq=q?#.bin", "'quoted'",
        "deep/" * 40 + "leaf", ".hidden", "trailing.", "~tilde", "x" * 200, "a,b;c", "[1]/{2}",
    ],
)  # fmt: skip
def test_a_name_is_kept_as_it_is(bring: Bring, name: str) -> None:
    assert bring({f"m/{name}": b"1", "m/f": b""}) == {name: b"1", "f": b""}


@pytest.mark.parametrize(
    "path", ["with space", "prozent%20", "größe", "a/b/c", "UPPER", "plus+", "x.y-z_1"]
)
def test_the_folder_of_a_model_may_have_any_name(bring: Bring, path: str) -> None:
    assert bring({f"{path}/f": b"1"}, path) == {"f": b"1"}


def test_files_may_be_empty(bring: Bring) -> None:
    assert bring({"m/empty": b"", "m/sub/empty": b""}) == {"empty": b"", "sub/empty": b""}


def test_a_model_may_be_one_file(bring: Bring) -> None:
    assert bring({"m/model.pkl": b"1", "m/model.pkl.bak": b"2"}, "m/model.pkl") == {
        "model.pkl": b"1"
    }


def test_markers_of_folders_are_no_files(azure: Azure, bring: Bring, prefix: str) -> None:
    for name in ("m", "m/sub"):
        for flag in ("true", "True"):
            marker = {"hdi_isfolder": flag}
            azure.storage.put(CONTAINER, {f"{prefix}/{name}-{flag}": b""}, metadata=marker)
    azure.storage.put(CONTAINER, {f"{prefix}/m/sub": b""}, metadata={"hdi_isfolder": "true"})

    assert bring({"m/sub/f": b"1", "m/slash/": b""}) == {"sub/f": b"1"}


def test_a_marked_folder_without_files_is_no_model(azure: Azure, bring: Bring, prefix: str) -> None:
    azure.storage.put(CONTAINER, {f"{prefix}/m": b""}, metadata={"hdi_isfolder": "true"})

    with pytest.raises(ModelInvalid, match="there are no files below"):
        bring({"n/f": b"1"})


@pytest.mark.parametrize(
    "name", ["../up", "a/../../up", "a/./b", "a//b", "/root", "back\\slash", "..", "x" * 256]
)
def test_a_name_that_no_folder_may_have_is_refused(
    gateway: Gateway, bring: Bring, name: str, tmp_path: Path
) -> None:
    gateway.fail("restype=container", edit=(b"NAME", name.encode()))

    with pytest.raises(ModelInvalid, match="which is no path inside of a folder"):
        bring({"m/NAME": b"1", "m/f": b"1"})
    assert leftovers(tmp_path / "store") == []


def test_a_blob_with_the_name_of_a_folder_is_refused(bring: Bring, tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match='"a/b" is a blob and a folder of blobs'):
        bring({"m/a/b": b"1", "m/a/b/c/d": b"1", "m/a/b-c": b"1"})
    assert leftovers(tmp_path / "store") == []


def test_what_is_stored_compressed_stays_so(azure: Azure, bring: Bring, prefix: str) -> None:
    from azure.storage.blob import ContentSettings

    packed = ContentSettings(content_encoding="gzip")

    assert bring({"m/f.json": b"\x1f\x8b odd"}, content_settings=packed) == {
        "f.json": b"\x1f\x8b odd"
    }


def test_a_full_disk_is_told_and_nothing_is_kept(
    azure: Azure, open_at: Open, prefix: str, tmp_path: Path
) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount")
    azure.storage.put(CONTAINER, {f"{prefix}/m/f": b"1" * 5_000_001})
    azure.storage.put(CONTAINER, {f"{prefix}/n/f": b"1"})
    azure.plane.register("m", "1", f"{prefix}/m")
    azure.plane.register("n", "1", f"{prefix}/n")
    try:
        store = Store(tmp_path, 1 << 40)
        store.open()
        with pytest.raises(ModelUnavailable, match="the disk of the model cache is full"):
            files_of(store, open_at())
        assert leftovers(tmp_path) == []
        assert files_of(store, open_at(), "n") == {"f": b"1"}
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)
