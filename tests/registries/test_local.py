"""A folder of models: its layouts, its URLs, and what is not a model in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app import manifest
from app.azure.access import Access, Given
from app.errors import ModelInvalid, ModelNotFound, RegistryUnavailable
from app.registries import open_registry
from app.registries.local import LocalRegistry
from app.tensors import ModelRef


def add(root: Path, *places: str) -> LocalRegistry:
    """A registry at `root` with a model file in each place."""
    for place in places:
        (root / place).mkdir(parents=True, exist_ok=True)
        (root / place / "model.onnx").write_text(place)
    return LocalRegistry("here", str(root))


def fetched(registry: LocalRegistry, ref: ModelRef) -> str:
    """What is in the model file of `ref`."""
    return (registry.fetch(ref, Path("never used")) / "model.onnx").read_text()


def test_a_model_at_the_root_of_its_folder_is_version_1(tmp_path: Path) -> None:
    registry = add(tmp_path, "flat")
    ref = registry.resolve("flat", None)

    assert ref == registry.resolve("flat", "1") == ModelRef("here", "flat", "1")
    assert fetched(registry, ref) == "flat"
    with pytest.raises(ModelNotFound, match="model flat has no version '2'; did you mean flat:1"):
        registry.resolve("flat", "2")


def test_a_model_at_the_root_stands_before_folders_below_it(tmp_path: Path) -> None:
    registry = add(tmp_path, "flat", "flat/1", "flat/2")

    assert registry.versions("flat") == ["1"]
    assert fetched(registry, registry.resolve("flat", None)) == "flat"


@pytest.mark.parametrize("marker", ["manifest.yaml", "score.py"])
def test_a_manifest_or_a_script_makes_a_root_a_model_too(tmp_path: Path, marker: str) -> None:
    registry = add(tmp_path, "flat/weights")
    (tmp_path / "flat" / marker).touch()

    assert registry.fetch(registry.resolve("flat", None), tmp_path) == tmp_path / "flat"


def test_a_version_that_is_not_there_is_not_taken_for_the_root(tmp_path: Path) -> None:
    registry = add(tmp_path, "deep/2")

    with pytest.raises(ModelNotFound, match="has no version '1'"):
        registry.fetch(ModelRef("here", "deep", "1"), tmp_path)


def test_a_folder_with_neither_model_nor_version_is_told_at_its_load(tmp_path: Path) -> None:
    registry = add(tmp_path)
    (tmp_path / "empty").mkdir()
    folder = registry.fetch(registry.resolve("empty", None), tmp_path)

    with pytest.raises(ModelInvalid, match="the model folder is empty"):
        manifest.read(folder)


def test_what_is_no_model_by_its_name_is_skipped(tmp_path: Path) -> None:
    registry = add(tmp_path, "good", ".git", "__pycache__", "a b", "x@y", "ünder", "lost+found")
    (tmp_path / "README.md").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    add(tmp_path / "versions", "1", ".ipynb_checkpoints", "__pycache__", "2 copy")

    assert registry.names() == ["good", "versions"]
    assert registry.versions("versions") == ["1"]


def test_the_newest_is_the_highest_number_or_else_the_last_in_natural_order(tmp_path: Path) -> None:
    registry = add(tmp_path, *(f"m/{v}" for v in ("9", "10", "v9", "v10", "v10.1", "alpha")))

    assert registry.versions("m") == ["9", "10", "alpha", "v9", "v10", "v10.1"]


def test_links_inside_the_registry_are_followed(tmp_path: Path) -> None:
    registry = add(tmp_path, "real/1", "real/2")
    (tmp_path / "alias").symlink_to("real")
    (tmp_path / "real/3").symlink_to("1")

    assert registry.names() == ["alias", "real"]
    assert fetched(registry, registry.resolve("alias", "2")) == "real/2"
    folder = registry.fetch(registry.resolve("real", None), tmp_path)
    assert manifest.read(folder).file.read_text() == "real/1"


def test_a_missing_folder_is_told_without_its_path(tmp_path: Path) -> None:
    registry = open_registry("here", f"file://{tmp_path}/gone", Access(Given()))

    for ask in (registry.names, lambda: registry.resolve("churn", None)):
        with pytest.raises(RegistryUnavailable) as caught:
            ask()
        assert str(caught.value) == (
            "the registry folder cannot be read: No such file or directory"
        )


def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(RegistryUnavailable, match="Not a directory"):
        LocalRegistry("here", str(tmp_path / "file")).names()


def test_a_model_folder_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    add(tmp_path, "secret")
    tmp_path.chmod(0o755)
    (tmp_path / "secret").chmod(0)
    script = (  # root may read everything, so it becomes nobody, and goes by a relative path
        "import os, sys; from pathlib import Path; from app.registries.local import LocalRegistry\n"
        "registry = LocalRegistry('here', '.')\n"
        "os.chdir(sys.argv[1]); registry.folder = Path()\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "registry.resolve('secret', None)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False
    )

    assert "RegistryUnavailable: the registry folder cannot be read: Permission" in run.stderr


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("file:///models/x", "/models/x"),
        ("file://localhost/models/x", "/models/x"),
        ("file:///models/a%20b%23c", "/models/a b#c"),
        ("/models/x", "/models/x"),
        ("/models/a%20b#c?d", "/models/a%20b#c?d"),
        ("/models/../x/", "/x"),
        ("models:v1/x", "models:v1/x"),
        ("models/x", "models/x"),
        (".", "."),
    ],
)
def test_a_folder_is_named_by_a_file_url_or_a_path(url: str, folder: str) -> None:
    registry = open_registry("here", url, Access(Given()))

    assert isinstance(registry, LocalRegistry)
    assert registry.folder == Path(folder).resolve()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://host/models", "no registry speaks ftp://; known: azureml://, file://, https://"),
        ("file://host/models", "a file:// URL has three slashes: file:///path"),
        ("file://models", "a file:// URL has three slashes: file:///path"),
        ("file:///models?version=1", "a file:// URL has no \\? and no #"),
        ("file:///models#1", "a file:// URL has no \\? and no #"),
        ("://models", "no registry speaks"),
    ],
)
def test_a_url_of_no_registry_is_refused(url: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        open_registry("here", url, Access(Given()))


def test_registries_at_different_places_have_different_keys(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)

    keys = [LocalRegistry("here", str(tmp_path / p)).key for p in ("", "other", "link", "./x/..")]

    assert keys[0] == keys[2] == keys[3] != keys[1]


def test_nothing_is_copied(tmp_path: Path) -> None:
    registry = add(tmp_path / "models", "churn/1")
    target = tmp_path / "target"
    target.mkdir()

    assert registry.fetch(registry.resolve("churn", "1"), target) == tmp_path / "models/churn/1"
    assert list(target.iterdir()) == []
