"""What every registry owes: exact versions, names, and files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.azure.access import Access, Given
from app.errors import ModelNotFound
from app.registries import REGISTRIES, Registry, is_name, open_registry, version_age
from app.tensors import ModelRef
from tests.azure.authority import SECRET
from tests.azure.control_plane import CONTAINER, REGISTRY, REGISTRY_CONTAINER
from tests.azure.fixtures import Azure
from tests.azure.storage import KEY

MODELS = {
    "churn": ["1", "2", "10"],
    "claims": ["3"],
    "claim_classifier": ["2024.1.9", "2024.1.10"],
    "mixed": ["7", "beta-2", "beta-10"],
}
"""Name -> its versions, oldest first; each holds a file that says which it is."""

Make = Callable[[Path, pytest.FixtureRequest], Registry]


def make_local(root: Path, _: pytest.FixtureRequest) -> Registry:
    for name, versions in MODELS.items():
        for version in reversed(versions):
            folder = root / name / version
            folder.mkdir(parents=True)
            (folder / "model.onnx").write_text(f"{name} {version}")
    return open_registry("here", f"file://{root}", Access(Given()))


def make_blob(root: Path, request: pytest.FixtureRequest) -> Registry:
    azure: Azure = request.getfixturevalue("azure")
    fill(azure, "models")
    access = azure.access(storage_sas=azure.storage.sas("models"))
    return open_registry("here", f"{azure.storage.url}/models/contract", access)


def make_azureml(client: str, place: str) -> Make:
    def make(root: Path, request: pytest.FixtureRequest) -> Registry:
        azure: Azure = request.getfixturevalue("azure")
        fill(azure, CONTAINER if place == "workspace" else REGISTRY_CONTAINER)
        for name, versions in MODELS.items():
            for version in versions:
                azure.plane.register(name, version, f"contract/{name}/{version}", place=place)
        url = "azureml://workspace" if place == "workspace" else f"azureml://registries/{REGISTRY}"
        return open_registry("here", url, azure.access(client=client))

    return make


def fill(azure: Azure, container: str) -> None:
    """Write the files of `MODELS`, once for a run."""
    if f"contract {container}" not in azure.done:
        files = {(n, v): f"contract/{n}/{v}/model.onnx" for n, vs in MODELS.items() for v in vs}
        azure.storage.put(container, {f: " ".join(nv).encode() for nv, f in files.items()})
        azure.done.add(f"contract {container}")


REGISTRY_OF = {
    "file": make_local,
    "https": make_blob,
    "azureml, workspace, rest": make_azureml("rest", "workspace"),
    "azureml, workspace, sdk": make_azureml("sdk", "workspace"),
    "azureml, registry, rest": make_azureml("rest", "registry"),
    "azureml, registry, sdk": make_azureml("sdk", "registry"),
}
"""Scheme and more -> what makes a registry there with `MODELS` in it."""


@pytest.fixture(params=REGISTRY_OF)
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    make: Make = REGISTRY_OF[request.param]
    return make(tmp_path, request)


def test_every_kind_of_registry_owes_it() -> None:
    assert {kind.partition(",")[0] for kind in REGISTRY_OF} == set(REGISTRIES) - {
        "script"
    }  # of one, without a name


def test_versions_are_listed_oldest_first(registry: Registry) -> None:
    assert {name: registry.versions(name) for name in MODELS} == MODELS
    assert registry.versions("nobody") == []


def test_a_registry_tells_of_itself_and_never_a_secret(registry: Registry) -> None:
    told = registry.describe()

    assert set(told) <= {"id", "name", "location"}
    assert SECRET not in str(told)
    assert KEY not in str(told)


def test_each_byte_of_a_fetch_is_told(registry: Registry, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    told: list[tuple[int, int]] = []

    folder = registry.fetch(ModelRef("here", "churn", "10"), target, lambda *n: told.append(n))

    assert folder != target or told[-1] == (8, 8)


def test_names_are_listed_sorted(registry: Registry) -> None:
    assert registry.names() == sorted(MODELS)


def test_a_registry_has_a_name_and_a_key_that_is_one_safe_path_segment(registry: Registry) -> None:
    assert registry.name == "here"
    assert is_name(registry.key)


@pytest.mark.parametrize("name", MODELS)
def test_without_a_version_the_newest_is_meant(registry: Registry, name: str) -> None:
    assert registry.resolve(name, None) == ModelRef("here", name, MODELS[name][-1])


@pytest.mark.parametrize(("name", "version"), [(n, v) for n, vs in MODELS.items() for v in vs])
def test_an_exact_version_is_that_version_and_fetched_as_such(
    registry: Registry, name: str, version: str, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    ref = registry.resolve(name, version)

    assert ref == ModelRef("here", name, version)
    assert (registry.fetch(ref, target) / "model.onnx").read_text() == f"{name} {version}"


@pytest.mark.parametrize("name", ["claim", "chrun", "claims_classifier"])
def test_an_unknown_name_is_told_with_names_much_like_it(registry: Registry, name: str) -> None:
    near = {"claim": "claims", "chrun": "churn", "claims_classifier": "claim_classifier"}[name]

    with pytest.raises(ModelNotFound, match=f"no model '{name}' .* did you mean .*{near}"):
        registry.resolve(name, None)


@pytest.mark.parametrize(
    ("name", "version", "told"),
    [
        ("churn", "3", "has no version '3'; did you mean churn:10 or churn:2 or churn:1"),
        ("churn", "", "has no version ''; did you mean churn:10 or"),
        ("claim_classifier", "2024.1.8", "did you mean claim_classifier:2024.1.9 or"),
    ],
)
def test_an_unknown_version_is_told_with_versions_that_there_are(
    registry: Registry, name: str, version: str, told: str
) -> None:
    with pytest.raises(ModelNotFound) as caught:
        registry.resolve(name, version)

    assert told in str(caught.value)


NOWHERE = ["..", ".", "", "/", "../here", "churn/1", "/etc", "churn/../claims", "a\0b", "x" * 300]


@pytest.mark.parametrize("name", NOWHERE)
@pytest.mark.parametrize("version", [None, "1"])
def test_a_name_that_leads_elsewhere_is_not_found(
    registry: Registry, name: str, version: str | None, tmp_path: Path
) -> None:
    with pytest.raises(ModelNotFound):
        registry.resolve(name, version)
    with pytest.raises(ModelNotFound):
        registry.fetch(ModelRef("here", name, version or "1"), tmp_path / "target")


@pytest.mark.parametrize("version", NOWHERE)
def test_a_version_that_leads_elsewhere_is_not_found(
    registry: Registry, version: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelNotFound):
        registry.resolve("churn", version)
    with pytest.raises(ModelNotFound):
        registry.fetch(ModelRef("here", "churn", version), tmp_path / "target")


@given(st.text(max_size=4) | st.text("./\\a0-_\n", max_size=4) | st.text("ab.", min_size=250))
def test_a_name_is_one_path_segment_of_plain_characters(text: str) -> None:
    is_plain = all(c.isascii() and (c.isalnum() or c in "._-") for c in text)

    assert is_name(text) == (is_plain and 0 < len(text) <= 255 and text not in (".", ".."))
    if is_name(text):
        assert Path("/registry", text).resolve().parent == Path("/registry")


@given(st.lists(st.text("019ab.-_", min_size=1, max_size=5), max_size=8))
def test_any_versions_can_be_sorted_and_numbers_come_first_in_their_order(
    versions: list[str],
) -> None:
    ordered = sorted(versions, key=version_age)
    numbers = [int(v) for v in ordered if v.isdigit()]

    assert numbers == sorted(numbers)
    assert all(v.isdigit() for v in ordered[: len(numbers)])
    versions.reverse()
    assert ordered == sorted(versions, key=version_age)
