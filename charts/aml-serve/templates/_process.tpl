{{/* What server and init container share: image, environment, folders. Call with root and track. */}}
{{- define "aml-serve.process" -}}
{{- $v := .root.Values -}}
image: {{ include "aml-serve.image" (dict "root" .root "image" .track.image) | quote }}
imagePullPolicy: {{ $v.image.pullPolicy }}
securityContext:
  {{- toYaml $v.securityContext | nindent 2 }}
resources:
  {{- toYaml $v.resources | nindent 2 }}
env:
  {{- include "aml-serve.env" . | nindent 2 }}
  {{- with include "aml-serve.secretEnv" .root | trim }}
  {{- nindent 2 . }}
  {{- end }}
  {{- with $v.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $v.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  {{- /* folders, not files: a file that is mounted alone never changes */}}
  - {name: config, mountPath: /etc/aml-serve/config, readOnly: true}
  {{- if $v.auth.enabled }}
  - {name: keys, mountPath: /etc/aml-serve/keys, readOnly: true}
  {{- end }}
  - name: cache
    mountPath: {{ $v.cache.path }}
    {{- if and $v.persistence.enabled (not $v.persistence.perPod) }}
    subPath: {{ .track.name }} {{- /* what administrators ask of one track is kept here, too */}}
    {{- end }}
  - {name: tmp, mountPath: /tmp}
  {{- with $v.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* What is no secret. Call with root and track. */}}
{{- define "aml-serve.env" -}}
{{- $v := .root.Values -}}
- {name: SERVE_CONFIG, value: /etc/aml-serve/config/config.yaml}
{{- with $v.registry }}
- {name: SERVE_REGISTRY, value: {{ quote . }}}
{{- end }}
{{- with $v.defaultModel }}
- {name: SERVE_DEFAULT_MODEL, value: {{ quote . }}}
{{- end }}
- {name: SERVE_CACHE_DIR, value: {{ quote $v.cache.path }}}
- {name: SERVE_CACHE_BYTES, value: {{ include "aml-serve.text" $v.cache.bytes | quote }}}
- {name: SERVE_DRAIN_S, value: {{ include "aml-serve.text" $v.drainSeconds | quote }}}
{{- if $v.auth.enabled }}
- {name: SERVE_API_KEYS_FILE, value: /etc/aml-serve/keys/keys}
{{- end }}
{{- with $v.telemetry.otlpEndpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ quote . }}}
{{- end }}
{{- with $v.telemetry.serviceName }}
- {name: OTEL_SERVICE_NAME, value: {{ quote . }}}
{{- end }}
- {name: ORT_DISABLE_TELEMETRY, value: "1"}
- {name: HOME, value: /tmp} {{- /* libraries write there without asking */}}
{{- range $name, $value := .track.settings }}
- {name: {{ $name }}, value: {{ include "aml-serve.text" $value | quote }}}
{{- end }}
{{- end }}

{{/* What is a secret: only ever a reference. Call with the root. */}}
{{- define "aml-serve.secretEnv" -}}
{{- $full := include "aml-serve.fullname" . }}
{{- if .Values.credentials.existingSecret }}
{{- range list "TENANT_ID" "CLIENT_ID" "CLIENT_SECRET" "SUBSCRIPTION_ID" "RESOURCE_GROUP" "WORKSPACE_NAME" "AZURE_STORAGE_KEY" "AZURE_STORAGE_SAS_TOKEN" }}
- name: {{ . }}
  valueFrom: {secretKeyRef: {name: {{ $.Values.credentials.existingSecret }}, key: {{ . }}, optional: true}}
{{- end }}
{{- else }}
{{- range $name, $_ := include "aml-serve.amlargs" . | fromYaml }}
- name: {{ $name }}
  valueFrom: {secretKeyRef: {name: {{ $full }}-amlargs, key: {{ $name }}}}
{{- end }}
{{- end }}
{{- if and .Values.auth.enabled .Values.auth.adminKey }}
- name: SERVE_ADMIN_KEYS
  valueFrom: {secretKeyRef: {name: {{ include "aml-serve.keysSecret" . }}, key: admin-keys}}
{{- end }}
{{- if or .Values.telemetry.connectionString .Values.telemetry.existingSecret }}
- name: APPLICATIONINSIGHTS_CONNECTION_STRING
  valueFrom: {secretKeyRef: {name: {{ include "aml-serve.telemetrySecret" . }}, key: connectionString}}
{{- end }}
{{- end }}

{{/* Call with root and track. */}}
{{- define "aml-serve.volumes" -}}
{{- $v := .root.Values -}}
- name: config
  configMap: {name: {{ .track.fullname }}}
{{- if $v.auth.enabled }}
- name: keys
  secret:
    secretName: {{ include "aml-serve.keysSecret" .root }}
    items: [{key: keys, path: keys}]
{{- end }}
- name: cache
  {{- if and $v.persistence.enabled $v.persistence.perPod }}
  ephemeral:
    volumeClaimTemplate:
      {{- include "aml-serve.claim" .root | nindent 6 }}
  {{- else if $v.persistence.enabled }}
  persistentVolumeClaim:
    claimName: {{ default (include "aml-serve.fullname" .root) $v.persistence.existingClaim }}
  {{- else }}
  emptyDir: {sizeLimit: {{ $v.cache.sizeLimit }}, medium: {{ quote $v.cache.medium }}}
  {{- end }}
- name: tmp
  emptyDir: {sizeLimit: {{ $v.tmp.sizeLimit }}}
{{- with $v.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Spec of a volume claim. Call with the root. */}}
{{- define "aml-serve.claim" -}}
spec:
  accessModes: {{ ternary (list "ReadWriteOnce") .Values.persistence.accessModes .Values.persistence.perPod | toJson }}
  {{- with .Values.persistence.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ .Values.persistence.size }}
{{- end }}
