{{/* The pod of a track. Call with root and track. */}}
{{- define "aml-serve.pod" -}}
{{- $v := .root.Values -}}
metadata:
  labels:
    {{- include "aml-serve.selector" .root | nindent 4 }}
    track: {{ .track.name }}
    {{- if $v.workloadIdentity.enabled }}
    azure.workload.identity/use: "true"
    {{- end }}
    {{- with $v.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    {{- include "aml-serve.checksums" . | nindent 4 }}
    {{- with $v.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "aml-serve.serviceAccountName" .root }}
  automountServiceAccountToken: false {{- /* workload identity mounts a token of its own */}}
  enableServiceLinks: false {{- /* a Service named serve would set SERVE_PORT */}}
  terminationGracePeriodSeconds: {{ include "aml-serve.gracePeriod" .root }}
  securityContext:
    {{- toYaml $v.podSecurityContext | nindent 4 }}
  {{- with $v.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if or $v.initPull.enabled $v.extraInitContainers }}
  initContainers:
    {{- if $v.initPull.enabled }}
    - name: pull
      args: [models, pull, --config, /etc/aml-serve/config/config.yaml]
      {{- include "aml-serve.process" . | nindent 6 }}
    {{- end }}
    {{- with $v.extraInitContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
  containers:
    - name: aml-serve
      args: [serve]
      ports:
        - {name: http, containerPort: 5001, protocol: TCP}
      startupProbe:
        {{- toYaml $v.startupProbe | nindent 8 }}
      livenessProbe:
        {{- toYaml $v.livenessProbe | nindent 8 }}
      readinessProbe:
        {{- toYaml $v.readinessProbe | nindent 8 }}
      {{- with $v.lifecycle }}
      lifecycle:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- include "aml-serve.process" . | nindent 6 }}
    {{- with $v.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "aml-serve.volumes" . | nindent 4 }}
  {{- include "aml-serve.placement" . | nindent 2 }}
{{- end }}

{{/* Where the pods of a track may run. */}}
{{- define "aml-serve.placement" -}}
{{- $v := .root.Values }}
{{- $selector := printf "%s\ntrack: %s" (include "aml-serve.selector" .root) .track.name | fromYaml -}}
topologySpreadConstraints:
  {{- range $v.topologySpread }}
  {{- $own := dict "labelSelector" (dict "matchLabels" $selector) "matchLabelKeys" (list "pod-template-hash") }}
  - {{- toYaml (ternary . (merge (dict) . $own) (hasKey . "labelSelector")) | nindent 4 }}
  {{- end }}
{{- with $v.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Pods are made anew for what is read at the start only: neither models nor API keys are. */}}
{{- define "aml-serve.checksums" -}}
{{- $v := .root.Values -}}
checksum/registries: {{ toJson $v.registries | sha256sum }}
checksum/credentials: {{ list $v.amlargs $v.telemetry.connectionString | toJson | sha256sum }}
{{- if $v.restartOnModelChange }}
checksum/models: {{ toJson .track.models | sha256sum }}
{{- end }}
{{- end }}
