"""The ways to install the chart that are tested: its examples, and each switch."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final = {
    "the defaults": (),
    "minimal": ("values-minimal.yaml",),
    "production": ("values-production.yaml",),
    "the west of two regions": ("values-two-regions.yaml", "values-two-regions-west.yaml"),
    "the east of two regions": ("values-two-regions.yaml", "values-two-regions-east.yaml"),
}

GATEWAY: Final = ("gateway.enabled=true", "gateway.parentRefs[0].name=front")
INGRESS: Final = ("ingress.enabled=true", "ingress.hosts[0].host=models.example.com")
CANARY: Final = ("canary.enabled=true", "canary.image.tag=2", "canary.models[0]=churn:2")
AZURE: Final = "apiGroup=azmonitoring.coreos.com"
HTTP: Final = ("keda.enabled=true", "keda.http.enabled=true")
SP: Final = (
    "amlargs.azureTenantId=t",
    "amlargs.azureSubscriptionId=s",
    "amlargs.azureResourceGroupName=g",
    "amlargs.azureMlWorkspaceName=w",
    "amlargs.azureMlServicePrincipalClientId=c",
    "amlargs.azureMlServicePrincipalPassword=hunter2",
)
EVERYTHING: Final = (
    *("image.digest=sha256:" + "0" * 64, "imagePullSecrets[0].name=pull"),
    *("auth.adminKey=true", "telemetry.connectionString=InstrumentationKey=hunter2"),
    *("telemetry.otlpEndpoint=http://otel:4318", "restartOnModelChange=true"),
    *("priorityClassName=high", "nodeSelector.pool=models", "tolerations[0].operator=Exists"),
    *("extraEnv[0].name=A", "extraEnv[0].value=b", "extraEnvFrom[0].configMapRef.name=env"),
    *("extraVolumes[0].name=v", "extraVolumes[0].emptyDir.medium=Memory"),
    *("extraVolumeMounts[0].name=v", "extraVolumeMounts[0].mountPath=/v"),
    *("extraInitContainers[0].name=i", "extraInitContainers[0].image=i:1"),
    *("extraContainers[0].name=s", "extraContainers[0].image=s:1", "podLabels.a=b"),
    *("affinity.podAntiAffinity=null", "podAnnotations.a=b", "defaultModel=churn"),
    *("models[0]=churn", "initPull.enabled=true", "lifecycle.preStop.exec.command={/bin/true}"),
    *("grafanaDashboard.enabled=true", "prometheusRule.enabled=true"),
    *("service.loadBalancerSourceRanges={10.0.0.0/8}", "settings.SERVE_WORKERS=2"),
)

SWITCHES: Final = {
    "the service principal": SP,
    "a Secret for the credentials": ("credentials.existingSecret=azure", *SP),
    "workload identity": ("workloadIdentity.enabled=true", "workloadIdentity.clientId=c"),
    "no keys": ("auth.enabled=false",),
    "everything at once": EVERYTHING,
    "an ingress": INGRESS,
    "an ingress for all hosts": ("ingress.enabled=true",),
    "a gateway": GATEWAY,
    "a canary by its pods": CANARY,
    "a canary by an ingress": (*CANARY, *INGRESS),
    "a canary by a gateway": (*CANARY, *GATEWAY, "canary.weight=25"),
    "sharding by nginx": ("sharding.enabled=true", "sharding.subsetSize=3", *INGRESS),
    "sharding by istio": ("sharding.enabled=true", "sharding.by=istio"),
    "sharding by istio, of a canary": (
        *("sharding.enabled=true", "sharding.by=istio", "sharding.queryParameter="),
        *(*CANARY, *GATEWAY),
    ),
    "sharding by Envoy Gateway": ("sharding.enabled=true", "sharding.by=envoy-gateway", *GATEWAY),
    "an autoscaler": ("autoscaling.enabled=true",),
    "an autoscaler by memory too": (
        "autoscaling.enabled=true",
        "autoscaling.targetMemoryUtilizationPercentage=80",
    ),
    "KEDA": (
        "keda.enabled=true",
        "keda.prometheus.serverAddress=http://prometheus:9090",
        "keda.prometheus.authenticationRef.name=azure",
    ),
    "KEDA to zero, by an ingress": (*HTTP, *INGRESS),
    "KEDA to zero, by a gateway": (*HTTP, *GATEWAY, "gateway.hostnames={models.example.com}"),
    "KEDA to zero, before 0.14": (*HTTP, *INGRESS, "keda.http.kind=HTTPScaledObject"),
    "a monitor of services": ("serviceMonitor.enabled=true",),
    "a monitor of pods": ("podMonitor.enabled=true",),
    "Azure's monitor of services": ("serviceMonitor.enabled=true", f"serviceMonitor.{AZURE}"),
    "Azure's monitor of pods": (
        *("podMonitor.enabled=true", f"podMonitor.{AZURE}"),
        "podMonitor.authorization.credentials.name=metrics",
    ),
    "one after another": ("strategy.type=Recreate",),
    "a network policy": (
        "networkPolicy.enabled=true",
        "networkPolicy.from[0].podSelector.matchLabels.a=b",
    ),
    "a volume for all": ("persistence.enabled=true", "persistence.storageClass=azurefile-nfs"),
    "a volume that is there": ("persistence.enabled=true", "persistence.existingClaim=models"),
    "a volume for each pod": ("persistence.enabled=true", "persistence.perPod=true"),
    "a budget of pods that stay": ("pdb.minAvailable=50%",),
    "no budget": ("pdb.enabled=false",),
    "no service account": ("serviceAccount.create=false",),
    "a node port": ("service.type=NodePort", "service.nodePort=30080"),
    "a cluster address": ("service.type=ClusterIP", "fullnameOverride=scores"),
}

ALL: Final = {**EXAMPLES, **SWITCHES}
