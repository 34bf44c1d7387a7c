"""What the chart tells the service, the service takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings
from app.settings.file import ConfigFile, ModelSettings, RegistrySettings, read_config
from tests.chart.matrix import ALL, EVERYTHING
from tests.chart.rendering import CHART, Manifest, container, first, pod, refused, render

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
KNOWN = {f"SERVE_{name.upper()}" for name in Settings.model_fields} - {
    "SERVE_AZURE",
    "SERVE_CORS_ORIGINS",
    "SERVE_DROP_IN",
    "SERVE_INSIGHTS",
    "SERVE_RELOADS",
}
OF_THE_CHART = {
    "SERVE_CONFIG": "models",
    "SERVE_MODELS": "models",
    "SERVE_REGISTRY": "registry",
    "SERVE_DEFAULT_MODEL": "defaultModel",
    "SERVE_CACHE_DIR": "cache",
    "SERVE_CACHE_BYTES": "cache",
    "SERVE_DRAIN_S": "drainSeconds",
    "SERVE_API_KEYS": "auth",
    "SERVE_API_KEYS_FILE": "auth",
    "SERVE_ADMIN_KEYS": "auth",
    "SERVE_HOST": "service",
    "SERVE_PORT": "service",
    "SERVE_GRPC_PORT": "service",
}
"""Variables that have a value of another name, so that `settings` refuses them."""


def config(manifests: list[Manifest], folder: Path) -> ConfigFile:
    """What the service reads of the file that the chart makes."""
    file = folder / "config.yaml"
    file.write_text(first(manifests, "ConfigMap")["data"]["config.yaml"])
    return read_config(file)


@pytest.mark.parametrize("way", ALL)
def test_the_service_starts_with_what_the_pod_is_given(way: str, tmp_path: Path) -> None:
    manifests = render(*ALL[way])
    given = {each["name"]: each.get("value", "secret") for each in container(manifests)["env"]}
    keys = tmp_path / "keys"
    keys.write_text("key")
    config(manifests, tmp_path)
    files = {"SERVE_CONFIG": tmp_path / "config.yaml", "SERVE_API_KEYS_FILE": keys}
    environ = {name: str(files.get(name, value)) for name, value in given.items()}

    settings = Settings.load(environ)

    assert settings.drain_s == 10
    assert settings.cache_bytes == 8 * 1024**3
    assert (settings.api_keys_file == keys) == ("keys" in str(pod(manifests)["spec"]["volumes"]))


def test_every_model_and_registry_of_the_example_is_read_as_meant(tmp_path: Path) -> None:
    read = config(render("values-production.yaml"), tmp_path)

    churn, claim, fraud, archive = read.models
    assert (churn.version, churn.pin, churn.labels) == (
        "2",
        True,
        {"stable": "2", "candidate": "3"},
    )
    assert churn.traffic == {"2": 90.0, "3": 10.0}
    assert (claim.shadow, claim.batching.max_rows, claim.timeout_s) == ("4", 64, 5.0)
    assert (fraud.registry, len(fraud.sha256)) == ("shared", 1)
    assert (archive.preload, archive.required) == (False, False)
    assert read.registries == {"shared": RegistrySettings("azureml://registries/shared", "pinned")}


def test_long_numbers_stay_what_they_are(tmp_path: Path) -> None:
    values = {
        "models": [{"name": "a", "version": 20240131}],
        "image": {"tag": 20240131},
        "settings": {"SERVE_MAX_BODY_BYTES": 104857600, "SERVE_TIMEOUT_S": 2.5},
    }
    manifests = render(values=values)
    env = {each["name"]: each.get("value") for each in container(manifests)["env"]}

    assert config(manifests, tmp_path).models == (ModelSettings(name="a", version="20240131"),)
    assert container(manifests)["image"] == "aml-serve:20240131"
    assert (env["SERVE_MAX_BODY_BYTES"], env["SERVE_TIMEOUT_S"]) == ("104857600", "2.5")


def test_every_variable_of_the_service_can_be_set_in_one_way() -> None:
    own = set(SCHEMA["definitions"]["settings"]["properties"])

    assert own | set(OF_THE_CHART) == KNOWN
    assert own & set(OF_THE_CHART) == set()
    assert set(OF_THE_CHART.values()) <= set(SCHEMA["properties"])


def test_every_key_of_a_model_and_a_registry_is_known_to_the_schema() -> None:
    model = SCHEMA["definitions"]["model"]["properties"]
    registry = SCHEMA["properties"]["registries"]["additionalProperties"]["properties"]

    comment = (CHART / "values.yaml").read_text().partition("models: []")[0]

    assert set(model) == set(ModelSettings.__dataclass_fields__)
    assert [key for key in model if key not in comment] == []
    assert set(registry) == set(RegistrySettings.__dataclass_fields__)


def test_a_signature_in_the_address_of_a_registry_is_refused() -> None:
    address = "https://a.blob.core.windows.net/c?sv=1&sig=hunter2"

    assert "registry" in refused(f"registry={address}")
    assert "registries.a.url" in refused(f"registries.a.url={address}")


def test_probes_ask_what_the_service_answers() -> None:
    server = container(render())
    source = (CHART.parents[1] / "app/web/health.py").read_text()

    for probe, path in (("startup", "livez"), ("liveness", "livez"), ("readiness", "readyz")):
        asked = server[f"{probe}Probe"]["httpGet"]
        assert asked == {"path": f"/{path}", "port": server["ports"][0]["name"]}
        assert f'"/{path}"' in source
    assert server["ports"][0]["containerPort"] == Settings.model_fields["port"].default


def test_the_init_container_fetches_what_the_server_will_load() -> None:
    spec = pod(render(*EVERYTHING))["spec"]
    pull, server = spec["initContainers"][0], spec["containers"][0]

    assert pull["args"] == ["models", "pull", "--config", "/etc/aml-serve/config/config.yaml"]
    shared = ("image", "env", "envFrom", "volumeMounts", "securityContext", "resources")
    assert [pull[key] for key in shared] == [server[key] for key in shared]


def test_values_are_yaml_that_every_reader_understands() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    assert next(iter(values)) == "models"
    assert values.keys() | {"global"} == SCHEMA["properties"].keys()
