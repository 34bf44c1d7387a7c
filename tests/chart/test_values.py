"""A wrong value is told by its name, before anything is installed."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.chart.matrix import CANARY, GATEWAY, HTTP, INGRESS
from tests.chart.rendering import CHART, refused, render

TYPOS = [
    ("replicacount=3", "replicacount"),
    ("auth.enable=false", "enable"),
    ("models[0].nam=churn", "nam"),
    ("models[0].name=churn,models[0].versoin=3", "versoin"),
    ("models[0]=churn:", "models.0"),
    ("models[0].name=a b", "models.0.name"),
    ("models[0].name=a,models[0].sha256=abc", "models.0.sha256"),
    ("models[0].name=a,models[0].accelerate=on", "models.0.accelerate"),
    ("models[0].name=a,models[0].environment[0]=A=b", "models.0.environment.0"),
    ("registries.a.ulr=file:///a", "ulr"),
    ("registry=ftp://models", "registry"),
    ("settings.SERVE_TIMEOUTS=3", "SERVE_TIMEOUTS"),
    ("settings.SERVE_CONFIG=/a", "SERVE_CONFIG"),
    ("settings.SERVE_API_KEYS=hunter2", "SERVE_API_KEYS"),
    ("amlargs.azureTenant=t", "azureTenant"),
    ("canary.weight=101", "canary.weight"),
    ("canary.settings.SERVE_WORKER=2", "SERVE_WORKER"),
    ("service.type=Loadbalancer", "service.type"),
    ("service.port=0", "service.port"),
    ("image.digest=abc", "image.digest"),
    ("ingress.hosts[0].path=/", "path"),
    ("autoscaling.minReplicas=two", "autoscaling.minReplicas"),
    ("serviceMonitor.apiGroup=coreos.com", "serviceMonitor.apiGroup"),
    ("sharding.by=haproxy", "sharding.by"),
    ("sharding.key=$uri;", "sharding.key"),
    ("persistence.accessModes={ReadWrite}", "persistence.accessModes.0"),
]
KEDA = ("keda.enabled=true", "keda.prometheus.serverAddress=http://p")
CONTRADICTIONS = [
    ((*KEDA, "autoscaling.enabled=true"), "autoscaling.enabled and keda.enabled"),
    (("keda.enabled=true",), "keda.prometheus.serverAddress"),
    (HTTP, "keda.http.enabled needs"),
    ((*HTTP, *INGRESS, *CANARY), "keda.http.enabled and canary.enabled"),
    ((*HTTP, *INGRESS, "sharding.enabled=true"), "sharding.enabled and keda.http.enabled"),
    (("serviceMonitor.enabled=true", "podMonitor.enabled=true"), "scraped twice"),
    (("initPull.enabled=true",), "initPull.enabled needs models"),
    (("workloadIdentity.enabled=true",), "workloadIdentity.clientId"),
    (("gateway.enabled=true",), "gateway.parentRefs"),
    (("sharding.enabled=true",), "sharding.by: nginx needs ingress.enabled"),
    (("sharding.enabled=true", "sharding.by=envoy-gateway"), "needs gateway.enabled"),
    (("terminationGracePeriodSeconds=70",), "must be above 70"),
]


@pytest.mark.parametrize(("option", "name"), TYPOS)
def test_a_typo_is_told_by_its_name(option: str, name: str) -> None:
    message = refused(option)

    assert name in message
    assert "hunter2" not in message


@pytest.mark.parametrize(("options", "message"), CONTRADICTIONS)
def test_what_cannot_be_together_is_told(options: tuple[str, ...], message: str) -> None:
    assert message in refused(*options)


def test_a_latest_image_is_nobodys_default() -> None:
    assert "latest" not in json.dumps(render(*CANARY, *GATEWAY))


def test_the_schema_has_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    given = yaml.safe_load((CHART / "values.yaml").read_text())

    assert _unlike(schema, given, "") == []


def _unlike(schema: dict[str, Any], given: object, path: str) -> list[str]:
    """Where keys differ, as far as the schema lists them."""
    if "properties" not in schema or not isinstance(given, dict):
        return []
    assert schema["additionalProperties"] is False, path
    keys = set(schema["properties"]) - {"global"}
    found = [f"{path}.{key}" for key in keys ^ given.keys()]
    for key in keys & given.keys():
        found += _unlike(schema["properties"][key], given[key], f"{path}.{key}")
    return found
