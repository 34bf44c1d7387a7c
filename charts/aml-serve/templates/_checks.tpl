{{/* What the schema cannot say of two values together. One message each. */}}
{{- define "aml-serve.checks" -}}
{{- $v := .Values }}
{{- $hasRoute := or $v.ingress.enabled $v.gateway.enabled }}
{{- $needed := add $v.drainSeconds (include "aml-serve.deadline" .) | int }}
{{- if and $v.autoscaling.enabled $v.keda.enabled }}
{{- fail "autoscaling.enabled and keda.enabled: both would count the pods; choose one" }}
{{- end }}
{{- if and $v.keda.enabled (not $v.keda.http.enabled) (not $v.keda.prometheus.serverAddress) }}
{{- fail "keda.prometheus.serverAddress is empty: KEDA has to ask a Prometheus for the requests in flight" }}
{{- end }}
{{- if and $v.keda.http.enabled (or (not $v.keda.enabled) (not $hasRoute)) }}
{{- fail "keda.http.enabled needs keda.enabled, and ingress.enabled or gateway.enabled to send requests through KEDA's proxy" }}
{{- end }}
{{- if and $v.keda.http.enabled $v.canary.enabled }}
{{- fail "keda.http.enabled and canary.enabled: KEDA's proxy knows one track only" }}
{{- end }}
{{- if and $v.serviceMonitor.enabled $v.podMonitor.enabled }}
{{- fail "serviceMonitor.enabled and podMonitor.enabled: every pod would be scraped twice, and counted so; choose one" }}
{{- end }}
{{- if and $v.initPull.enabled (not $v.models) }}
{{- fail "initPull.enabled needs models: there is nothing to fetch" }}
{{- end }}
{{- if and $v.workloadIdentity.enabled (not $v.workloadIdentity.clientId) $v.serviceAccount.create (not (hasKey $v.serviceAccount.annotations "azure.workload.identity/client-id")) }}
{{- fail "workloadIdentity.enabled needs workloadIdentity.clientId" }}
{{- end }}
{{- if and $v.gateway.enabled (not $v.gateway.parentRefs) }}
{{- fail "gateway.enabled needs gateway.parentRefs" }}
{{- end }}
{{- if and $v.sharding.enabled (eq $v.sharding.by "nginx") (not $v.ingress.enabled) }}
{{- fail "sharding.by: nginx needs ingress.enabled" }}
{{- end }}
{{- if and $v.sharding.enabled (eq $v.sharding.by "envoy-gateway") (not $v.gateway.enabled) }}
{{- fail "sharding.by: envoy-gateway needs gateway.enabled" }}
{{- end }}
{{- if and $v.sharding.enabled $v.keda.http.enabled }}
{{- fail "sharding.enabled and keda.http.enabled: KEDA's proxy chooses the pod, by no hash" }}
{{- end }}
{{- if le (include "aml-serve.gracePeriod" . | int) $needed }}
{{- fail (printf "terminationGracePeriodSeconds must be above %d: drainSeconds and the longest deadline of a request" $needed) }}
{{- end }}
{{- end }}
