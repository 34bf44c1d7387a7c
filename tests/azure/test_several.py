"""One server, models of several registries: each by its name, and trusted as its place is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app import manifest
from tests.azure.control_plane import CONTAINER, REGISTRY, REGISTRY_CONTAINER
from tests.azure.fixtures import OLDER, Azure
from tests.server import CLAIM, CUSTOMERS, SAMPLES, Server, serving

ONNX, PICKLE = SAMPLES / CLAIM / "1", SAMPLES / "churn/2"


@pytest.fixture
def places(azure: Azure) -> dict[str, str]:
    """Name -> URL of a registry; each has the models `onnx` and `pickle`."""
    for name, folder in {"onnx": ONNX, "pickle": PICKLE}.items():
        for container in (CONTAINER, REGISTRY_CONTAINER, "models"):
            azure.storage.put_folder(container, f"several/{name}/1", folder)
        for place in ("workspace", "registry"):
            azure.plane.register(name, "1", f"several/{name}/1", place=place)
    return {
        "here": f"file://{SAMPLES}",
        "west": "azureml://workspace",
        "shared": f"azureml://registries/{REGISTRY}",
        "store": f"{azure.storage.url}/models/several?{azure.storage.sas('models')}",
    }


@contextmanager
def served(azure: Azure, folder: Path, places: dict[str, str], models: str) -> Iterator[Server]:
    listed = "".join(f"  {name}: {{url: '{url}'}}\n" for name, url in places.items())
    (folder / "config.yaml").write_text(f"registries:\n{listed}models: [{models}]\n")
    given = {
        **azure.environment(), **OLDER, "SERVE_CONFIG": str(folder / "config.yaml"),
        "SERVE_ON_DEMAND": "true", "SERVE_REGISTRY": "azureml://workspace",
    }  # fmt: skip
    with serving("/readyz", **given) as server:
        yield server


def test_models_of_four_registries_are_served_by_one_server(
    azure: Azure, places: dict[str, str], tmp_path: Path
) -> None:
    models = (
        f"{{name: {CLAIM}, registry: here}}, {{name: pickle, registry: west}}, "
        "{name: onnx, registry: shared}"
    )
    with served(azure, tmp_path, places, models) as server:
        assert {name: told["state"] for name, told in server.models().items()} == {
            CLAIM: "READY", "pickle": "READY", "onnx": "READY",
        }  # fmt: skip
        assert server.score("pickle", CUSTOMERS[0])
        digests = {server.models()[name]["digest"] for name in (CLAIM, "onnx")}
        assert len(digests) == 1


def test_what_is_not_listed_is_loaded_on_demand_from_the_default_registry(
    azure: Azure, places: dict[str, str], tmp_path: Path
) -> None:
    with served(azure, tmp_path, places, "{name: onnx, registry: store}") as server:
        assert server.score("pickle", CUSTOMERS[0])
        assert azure.plane.asked("/models/pickle/versions") >= 1
        assert server.post("/score/nobody", json={"data": {}}).status_code == 404


@pytest.mark.parametrize("place", ["shared", pytest.param("store", marks=pytest.mark.long)])
def test_a_pickle_from_elsewhere_is_refused_until_its_digest_is_in_the_configuration(
    azure: Azure, places: dict[str, str], tmp_path: Path, place: str
) -> None:
    digest = manifest.digest(PICKLE)
    refused = f"{{name: pickle, registry: {place}, required: false}}"
    with served(azure, tmp_path, places, refused) as server:
        told = server.models()["pickle"]
    assert told["state"] == "FAILED"
    assert f"add sha256: {digest} to the model in the configuration" in told["reason"]

    trusted = f"{{name: pickle, registry: {place}, sha256: '{digest}'}}"
    with served(azure, tmp_path, places, trusted) as server:
        assert server.score("pickle", CUSTOMERS[0])


def test_a_listed_digest_of_other_files_refuses_the_model(
    azure: Azure, places: dict[str, str], tmp_path: Path
) -> None:
    model = f"{{name: onnx, registry: shared, required: false, sha256: '{'0' * 64}'}}"
    with served(azure, tmp_path, places, model) as server:
        assert "its digest is none of those" in server.models()["onnx"]["reason"]
