"""Services of the 2021 template keep working: its command line, and its values file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.cluster import Cluster
from tests.chart.rendering import CHART, container, helm, only, render

COMMAND = (
    "upgrade --install scoring {chart} --namespace scoring --create-namespace "
    "--set image.repository=example.azurecr.io/aml-serve --set image.tag=20240131 "
    "--set amlargs.azureTenantId=11111111-aaaa "
    "--set amlargs.azureSubscriptionId=22222222-bbbb "
    "--set amlargs.azureResourceGroupName=ml "
    "--set amlargs.azureMlWorkspaceName=models "
    "--set amlargs.azureMlServicePrincipalClientId=33333333-cccc "
    "--set amlargs.azureMlServicePrincipalPassword=hunter2"
)
"""Of its release pipeline; the chart is where that is."""

VALUES = """
replicaCount: 1
image: {repository: example.azurecr.io/aml-serve, pullPolicy: IfNotPresent, tag: ""}
imagePullSecrets: []
nameOverride: ""
fullnameOverride: ""
serviceAccount: {create: true, annotations: {}, name: ""}
amlargs:
  azureTenantId: t
  azureSubscriptionId: s
  azureResourceGroupName: g
  azureMlWorkspaceName: w
  azureMlServicePrincipalClientId: c
  azureMlServicePrincipalPassword: hunter2
podAnnotations: {}
podSecurityContext: {}
securityContext: {}
service: {type: LoadBalancer, port: 80}
ingress:
  enabled: true
  annotations: {kubernetes.io/ingress.class: nginx}
  hosts: [{host: chart-example.local, paths: [/score, /healthcheck]}]
  tls: []
resources: {}
autoscaling:
  enabled: true
  minReplicas: 1
  maxReplicas: 100
  targetCPUUtilizationPercentage: 80
  targetMemoryUtilizationPercentage: 75
nodeSelector: {}
tolerations: []
affinity: {}
"""


def test_the_command_line_of_its_release_installs(cluster: Cluster) -> None:
    words = COMMAND.format(chart=CHART).split()

    told = helm(*words, home=cluster.home).stdout

    objects = cluster.objects
    service = objects["/api/v1/namespaces/scoring/services/scoring-aml-serve"]["spec"]
    deployment = objects["/apis/apps/v1/namespaces/scoring/deployments/scoring-aml-serve"]
    server = deployment["spec"]["template"]["spec"]["containers"][0]
    assert (service["type"], service["ports"][0]["port"]) == ("LoadBalancer", 80)
    assert server["image"] == "example.azurecr.io/aml-serve:20240131"
    assert cluster.secret("scoring", "scoring-aml-serve-amlargs")["CLIENT_SECRET"] == "hunter2"
    assert "auth.enabled=false" in told
    assert "get secret scoring-aml-serve-keys" in told


def test_its_six_names_are_those_that_the_service_reads() -> None:
    names = [word.split("=")[0] for word in COMMAND.split() if word.startswith("amlargs.")]
    manifests = render(*(f"{name}={number}" for number, name in enumerate(names, 1)))
    secret = only(manifests, "Secret", "amlargs")["stringData"]
    env = {e["name"] for e in container(manifests)["env"] if "amlargs" in str(e.get("valueFrom"))}

    assert env == set(secret) == {
        *("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"),
        *("SUBSCRIPTION_ID", "RESOURCE_GROUP", "WORKSPACE_NAME"),
    }  # fmt: skip
    assert secret["SUBSCRIPTION_ID"] == "2"  # also when it looks like a number


def test_its_values_file_renders_and_means_the_same() -> None:
    values: dict[str, Any] = yaml.safe_load(VALUES)
    manifests = render(values=values)
    paths = only(manifests, "Ingress")["spec"]["rules"][0]["http"]["paths"]
    metrics = only(manifests, "HorizontalPodAutoscaler")["spec"]["metrics"]

    assert [path["path"] for path in paths] == ["/score", "/healthcheck"]
    assert only(manifests, "Service")["spec"]["ports"][0]["port"] == 80
    assert {each["resource"]["name"] for each in metrics} == {"cpu", "memory"}


def test_what_it_left_empty_is_safe_all_the_same() -> None:
    manifests = render(values=yaml.safe_load(VALUES))

    assert container(manifests)["securityContext"]["readOnlyRootFilesystem"] is True
    assert container(manifests)["resources"]["limits"]["memory"] == "2Gi"


@pytest.mark.parametrize("empty", ["ingress.hosts[0].paths=null", "ingress.hosts[0].host=a"])
def test_a_host_without_paths_has_all(empty: str) -> None:
    ingress = only(render("ingress.enabled=true", "ingress.hosts[0].host=a", empty), "Ingress")
    paths = ingress["spec"]["rules"][0]["http"]["paths"]

    assert [path["path"] for path in paths] == ["/"]


def test_the_chart_can_be_part_of_another(tmp_path: Path) -> None:
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts/aml-serve").symlink_to(CHART)
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: parent\nversion: 1.0.0\n")
    (tmp_path / "values.yaml").write_text("global: {region: west}\naml-serve: {models: [churn]}\n")

    assert "churn" in helm("template", "r", str(tmp_path)).stdout
