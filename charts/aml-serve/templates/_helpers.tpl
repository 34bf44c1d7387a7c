{{/* The chart's name, or its override. */}}
{{- define "aml-serve.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of the resources: short enough that `-canary` and what Kubernetes appends still fit. */}}
{{- define "aml-serve.fullname" -}}
{{- $name := include "aml-serve.name" . }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 45 | trimSuffix "-" }}
{{- end }}

{{/* Labels that never change, for selectors. */}}
{{- define "aml-serve.selector" -}}
app.kubernetes.io/name: {{ include "aml-serve.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{- define "aml-serve.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: aml-serve
{{ include "aml-serve.selector" . }}
{{- end }}

{{- define "aml-serve.serviceAccountName" -}}
{{- $own := ternary (include "aml-serve.fullname" .) "default" .Values.serviceAccount.create }}
{{- default $own .Values.serviceAccount.name }}
{{- end }}

{{/* Any value as text. A number of a values file is a float, which would print as 1e+07. */}}
{{- define "aml-serve.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end }}
{{- end }}

{{/* What runs, as a list: the stable track, and the canary. Call with the root. */}}
{{- define "aml-serve.tracks" -}}
{{- $full := include "aml-serve.fullname" . }}
- name: stable
  fullname: {{ $full }}
  replicas: {{ .Values.replicaCount }}
  isScaled: {{ or .Values.autoscaling.enabled .Values.keda.enabled }}
  image: {{ toJson .Values.image }}
  models: {{ toJson .Values.models }}
  settings: {{ toJson .Values.settings }}
{{- if .Values.canary.enabled }}
- name: canary
  fullname: {{ $full }}-canary
  replicas: {{ .Values.canary.replicaCount }}
  isScaled: false
  image: {{ include "aml-serve.canaryImage" . }}
  models: {{ toJson (default .Values.models .Values.canary.models) }}
  settings: {{ merge (dict) .Values.canary.settings .Values.settings | toJson }}
{{- end }}
{{- end }}

{{/* A tag of its own is not overruled by the digest of the stable track. */}}
{{- define "aml-serve.canaryImage" -}}
{{- $image := merge (dict) .Values.image }}
{{- with .Values.canary.image }}
{{- if .repository }}{{ $_ := set $image "repository" .repository }}{{ end }}
{{- if or .tag .digest }}{{ $_ := set $image "tag" .tag }}{{ $_ := set $image "digest" .digest }}{{ end }}
{{- end }}
{{- toJson $image }}
{{- end }}

{{/* Call with root and image. */}}
{{- define "aml-serve.image" -}}
{{- $tag := include "aml-serve.text" (default .root.Chart.AppVersion .image.tag) }}
{{- ternary (printf "%s@%s" .image.repository .image.digest) (printf "%s:%s" .image.repository $tag) (not (empty .image.digest)) }}
{{- end }}

{{/* Whether something divides requests between the tracks by weight; then each has a Service. */}}
{{- define "aml-serve.isWeighted" -}}
{{- and .Values.canary.enabled (or .Values.ingress.enabled .Values.gateway.enabled) }}
{{- end }}

{{/* Secret with API keys, whosever it is. */}}
{{- define "aml-serve.keysSecret" -}}
{{- default (printf "%s-keys" (include "aml-serve.fullname" .)) .Values.auth.existingSecret }}
{{- end }}

{{- define "aml-serve.telemetrySecret" -}}
{{- default (printf "%s-telemetry" (include "aml-serve.fullname" .)) .Values.telemetry.existingSecret }}
{{- end }}

{{/* Name in the environment -> value of `amlargs`, of those that are set. */}}
{{- define "aml-serve.amlargs" -}}
{{- $names := dict
  "TENANT_ID" .Values.amlargs.azureTenantId
  "CLIENT_ID" .Values.amlargs.azureMlServicePrincipalClientId
  "CLIENT_SECRET" .Values.amlargs.azureMlServicePrincipalPassword
  "SUBSCRIPTION_ID" .Values.amlargs.azureSubscriptionId
  "RESOURCE_GROUP" .Values.amlargs.azureResourceGroupName
  "WORKSPACE_NAME" .Values.amlargs.azureMlWorkspaceName }}
{{- range $name, $value := $names }}
{{- if $value }}
{{ $name }}: {{ include "aml-serve.text" $value | toJson }}
{{- end }}
{{- end }}
{{- end }}

{{/* The longest that a request may take, in whole seconds. */}}
{{- define "aml-serve.deadline" -}}
{{- $longest := float64 (default 60 .Values.settings.SERVE_TIMEOUT_S) }}
{{- range concat .Values.models .Values.canary.models }}
{{- if kindIs "map" . }}{{ $longest = maxf $longest (float64 (default 0 .timeout_s)) }}{{ end }}
{{- end }}
{{- ceil $longest | int }}
{{- end }}

{{- define "aml-serve.gracePeriod" -}}
{{- $needed := add .Values.drainSeconds (include "aml-serve.deadline" .) }}
{{- default (add $needed 10) .Values.terminationGracePeriodSeconds | int }}
{{- end }}

{{/* Pods of this release in PromQL: those of its Deployments, and no other release's whose name begins alike. */}}
{{- define "aml-serve.promSelector" -}}
namespace="{{ .Release.Namespace }}",pod=~"{{ include "aml-serve.fullname" . }}(-canary)?-[a-z0-9]+-[a-z0-9]+"
{{- end }}
