"""What is read of a model folder before anything of it may run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from app import manifest, verified
from app.errors import ModelInvalid
from app.registries import Details
from app.store import Store
from app.trust import EVERYTHING
from app.verified import Verified
from tests.serving import write_model
from tests.writers import Writer, ref


class Told(Writer):
    """A registry that copies one folder, and tells `details` of it."""

    def __init__(self, folder: Path, details: Details) -> None:
        super().__init__()
        self._source = folder
        self._details = details

    def details(self, _: object) -> Details:
        return self._details

    def fetch(self, _: object, target: Path, *more: object) -> Path:
        for file in self._source.iterdir():
            (target / file.name).write_bytes(file.read_bytes())
        return target


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "source", "double")


def bring(folder: Path, details: Details, tmp_path: Path) -> Verified:
    store = Store(tmp_path / "cache", 10**9)
    store.open()
    steps: list[str] = []
    found = verified.bring(ref("double"), Told(folder, details), store, EVERYTHING, steps.append)
    assert steps == ["fetch", "verify"]
    found.lease.close()
    return found


def test_what_is_known_of_a_folder_comes_with_it(folder: Path, tmp_path: Path) -> None:
    found = bring(folder, Details("doubles", tags={"team": "risk"}), tmp_path)

    assert found.details == Details("doubles", tags={"team": "risk"})
    assert found.digest == manifest.digest(folder)
    assert found.size_bytes == sum(file.stat().st_size for file in folder.iterdir())
    assert found.untrusted == ""


@pytest.mark.parametrize(
    "told",
    [lambda of: Details(tags=of), lambda of: Details(properties=of)],
    ids=["tag", "property"],
)
def test_files_that_are_not_those_registered_are_refused(
    folder: Path, tmp_path: Path, told: Callable[[dict[str, str]], Details]
) -> None:
    right, wrong = manifest.digest(folder), "0" * 64

    assert bring(folder, told({"sha256": right}), tmp_path / "right").digest == right
    with pytest.raises(ModelInvalid, match=f"sha256 is {right}, the registry has {wrong}"):
        bring(folder, told({"sha256": wrong}), tmp_path / "wrong")


def test_of_a_single_file_its_own_sum_will_do(folder: Path, tmp_path: Path) -> None:
    (folder / "README.md").unlink()
    own = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()

    assert own != manifest.digest(folder)
    assert bring(folder, Details(tags={"sha256": own}), tmp_path).digest == manifest.digest(folder)


def test_a_tag_that_is_no_digest_says_nothing(folder: Path, tmp_path: Path) -> None:
    found = bring(folder, Details(tags={"sha256": "see the wiki"}), tmp_path)
    assert found.digest == manifest.digest(folder)
