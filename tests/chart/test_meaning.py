"""What is rendered belongs together, and is safe."""

from __future__ import annotations

import json
from typing import Any

import pytest

import app
from tests.chart.matrix import ALL, CANARY, GATEWAY, HTTP, INGRESS, SP
from tests.chart.rendering import CHART, Manifest, container, kinds, only, pod, refused, render


def deployments(manifests: list[Manifest]) -> list[Manifest]:
    return [each for each in manifests if each["kind"] == "Deployment"]


def chosen(manifests: list[Manifest], labels: dict[str, str]) -> list[str]:
    """Names of the Deployments whose pods have these labels."""
    return [
        each["metadata"]["name"]
        for each in deployments(manifests)
        if labels.items() <= each["spec"]["template"]["metadata"]["labels"].items()
    ]


@pytest.mark.parametrize("way", ALL)
def test_a_selector_chooses_the_pods_that_it_is_for(way: str) -> None:
    manifests = render(*ALL[way])
    names = [each["metadata"]["name"] for each in deployments(manifests)]

    for each in deployments(manifests):
        assert chosen(manifests, each["spec"]["selector"]["matchLabels"]) == [
            each["metadata"]["name"]
        ]
    for kind, path in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        if kind in kinds(manifests):
            labels = only(manifests, kind)["spec"][path]["matchLabels"]
            assert chosen(manifests, labels) == names


@pytest.mark.parametrize("way", ALL)
def test_a_service_chooses_its_track_or_all_when_nothing_weighs_them(way: str) -> None:
    manifests = render(*ALL[way])
    names = [each["metadata"]["name"] for each in deployments(manifests)]
    services = [s for s in manifests if s["kind"] == "Service" and "selector" in s["spec"]]

    if len(services) == 1:
        assert chosen(manifests, services[0]["spec"]["selector"]) == names
    else:
        for each in services:
            assert chosen(manifests, each["spec"]["selector"]) == [each["metadata"]["name"]]
    for each in services:
        assert each["spec"]["ports"][0]["targetPort"] == container(manifests)["ports"][0]["name"]


@pytest.mark.parametrize("way", ALL)
def test_what_refers_to_something_finds_it(way: str) -> None:
    manifests = render(*ALL[way])
    there = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    spec = pod(manifests)["spec"]
    wanted = {("ConfigMap", v["configMap"]["name"]) for v in spec["volumes"] if "configMap" in v}
    wanted |= {("Secret", v["secret"]["secretName"]) for v in spec["volumes"] if "secret" in v}
    for each in container(manifests)["env"]:
        if "valueFrom" in each:
            wanted.add(("Secret", each["valueFrom"]["secretKeyRef"]["name"]))
    for each in (m for m in manifests if m["kind"] == "HorizontalPodAutoscaler"):
        wanted.add(("Deployment", each["spec"]["scaleTargetRef"]["name"]))
    given = {"aml-serve-keys", "aml-serve-insights", "azure"}

    assert {name for name in wanted - there if name[1] not in given} == set()
    mounts = [m["name"] for m in container(manifests)["volumeMounts"]]
    assert set(mounts) <= {volume["name"] for volume in spec["volumes"]}


@pytest.mark.parametrize("way", ALL)
def test_the_safeguards_of_the_cluster_hold(way: str) -> None:
    spec = pod(render(*ALL[way]))["spec"]
    server = spec["containers"][0]

    assert {f"{a} {b}" for a in ("requests", "limits") for b in server["resources"][a]} == (
        {"requests cpu", "requests memory", "limits cpu", "limits memory"}
    )
    assert all(server[f"{probe}Probe"] for probe in ("startup", "liveness", "readiness"))
    assert not server["image"].endswith(":latest")
    assert ":" in server["image"]
    assert spec["topologySpreadConstraints"]
    assert spec["securityContext"]["runAsUser"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert server["securityContext"] == {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False


@pytest.mark.parametrize("way", ALL)
def test_a_secret_is_nowhere_but_in_a_secret(way: str) -> None:
    manifests = render(*ALL[way])
    text = json.dumps([each for each in manifests if each["kind"] != "Secret"])

    assert "hunter2" not in text
    assert "set-me" not in text


def test_a_rolling_upgrade_never_has_fewer_pods() -> None:
    strategy = only(render(), "Deployment")["spec"]["strategy"]

    assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


@pytest.mark.parametrize(
    ("option", "seconds"),
    [
        ("drainSeconds=10", 80),
        ("drainSeconds=30", 100),
        ("settings.SERVE_TIMEOUT_S=5", 25),
        ("models[0].name=slow,models[0].timeout_s=300", 320),
    ],
)
def test_a_pod_has_time_to_end_the_longest_request(option: str, seconds: int) -> None:
    assert pod(render(option))["spec"]["terminationGracePeriodSeconds"] == seconds


@pytest.mark.parametrize("way", ["an autoscaler", "KEDA", "KEDA to zero, by an ingress"])
def test_whoever_counts_the_pods_does_so_alone(way: str) -> None:
    manifests = render(*ALL[way])

    assert "replicas" not in only(manifests, "Deployment")["spec"]
    assert len(kinds(manifests) & {"HorizontalPodAutoscaler", "ScaledObject"}) == 1


def test_to_zero_only_where_something_holds_the_requests() -> None:
    keda = ("keda.enabled=true", "keda.prometheus.serverAddress=http://p")

    assert "keda.minReplicas" in refused(*keda, "keda.minReplicas=0")
    assert only(render(*keda), "ScaledObject")["spec"]["minReplicaCount"] == 1
    assert only(render(*HTTP, *INGRESS), "ScaledObject")["spec"]["minReplicaCount"] == 0
    ingress = only(render(*HTTP, *INGRESS), "Ingress")
    path = ingress["spec"]["rules"][0]["http"]["paths"][0]
    assert path["backend"]["service"]["name"] == "models-aml-serve-interceptor"


def test_the_weights_of_a_route_are_a_hundred_together() -> None:
    route = only(render(*CANARY, *GATEWAY, "canary.weight=25"), "HTTPRoute")
    backends = route["spec"]["rules"][0]["backendRefs"]

    assert [(each["name"], each["weight"]) for each in backends] == [
        ("models-aml-serve", 75),
        ("models-aml-serve-canary", 25),
    ]


def test_a_canary_has_its_own_image_models_and_settings_and_nothing_else_of_its_own() -> None:
    options = (*CANARY, *INGRESS, "models[0]=iris", "canary.settings.SERVE_WORKERS=2")
    stable, canary = (container(render(*options), name) for name in ("models-aml-serve", "-canary"))
    files = [only(render(*options), "ConfigMap", n)["data"] for n in ("models-aml-serve", "canary")]

    assert [stable["image"], canary["image"]] == ["aml-serve:0.1.0", "aml-serve:2"]
    assert ["iris" in files[0]["config.yaml"], "churn:2" in files[1]["config.yaml"]] == [True] * 2
    assert canary["env"] == [*stable["env"], {"name": "SERVE_WORKERS", "value": "2"}]
    annotations = only(render(*options), "Ingress", "canary")["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/canary-weight"] == "10"


def test_the_digest_of_the_stable_image_is_not_the_canarys() -> None:
    options = ("image.digest=sha256:" + "a" * 64, *CANARY)

    assert container(render(*options), "models-aml-serve")["image"].endswith("a" * 64)
    assert container(render(*options), "-canary")["image"] == "aml-serve:2"


def test_pods_are_made_anew_for_what_is_read_at_the_start_only() -> None:
    def sums(*options: str) -> dict[str, Any]:
        found: dict[str, Any] = pod(render(*options))["metadata"]["annotations"]
        return found

    before = sums()

    assert sums("models[0]=churn") == before
    assert sums("models[0]=churn", "restartOnModelChange=true") != before
    assert sums("registries.a.url=file:///a") != before
    assert sums(*SP) != before


def test_workload_identity_labels_the_pods_and_annotates_the_account() -> None:
    manifests = render("workloadIdentity.enabled=true", "workloadIdentity.clientId=c")
    account = only(manifests, "ServiceAccount")

    assert pod(manifests)["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    assert account["metadata"]["annotations"] == {"azure.workload.identity/client-id": "c"}
    assert pod(manifests)["spec"]["serviceAccountName"] == account["metadata"]["name"]


def test_the_chart_is_of_this_version() -> None:
    text = (CHART / "Chart.yaml").read_text()

    assert f'appVersion: "{app.__version__}"' in text
    assert container(render())["image"] == f"aml-serve:{app.__version__}"
