{{/* What the worker's pods, the job and the test have in common. */}}

{{- define "capi-dispatcher.pullSecrets" -}}
{{- with concat .Values.global.imagePullSecrets .Values.image.pullSecrets | uniq }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "capi-dispatcher.scheduling" -}}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- tpl (toYaml .) $ | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.schedulerName }}
schedulerName: {{ . }}
{{- end }}
dnsPolicy: {{ .Values.dnsPolicy }}
{{- with .Values.dnsConfig }}
dnsConfig: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
The environment of a container: given the context and the container's resources. What the user sets replaces the chart's own, because the API
refuses a name that is there twice.
*/}}
{{- define "capi-dispatcher.env" -}}
{{- $extra := .context.Values.extraEnv -}}
{{- $replaced := list -}}
{{- range $extra }}{{ $replaced = append $replaced .name }}{{ end -}}
{{- $env := list -}}
{{- range include "capi-dispatcher.ownEnv" . | fromYamlArray }}
{{- if not (has .name $replaced) }}{{ $env = append $env . }}{{ end -}}
{{- end -}}
{{- tpl (concat $env $extra | toYaml) .context -}}
{{- end -}}

{{/* The pod's own name comes first, because OTEL_RESOURCE_ATTRIBUTES refers to it. */}}
{{- define "capi-dispatcher.ownEnv" -}}
{{- $ := .context -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ include "capi-dispatcher.resourceAttributes" $ | quote }}
{{- with $.Values.otlp.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ tpl . $ | quote }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ $.Values.otlp.protocol }}
{{- end }}
{{- range $name, $secret := dict "OTEL_EXPORTER_OTLP_HEADERS" $.Values.otlp.headers "CAPI_NATS_URL" $.Values.secrets.natsURL
  "CAPI_REDIS_URL" $.Values.secrets.redisURL }}
{{- if $secret.name }}
- name: {{ $name }}
  valueFrom: {secretKeyRef: {name: {{ $secret.name }}, key: {{ $secret.key }}}}
{{- end }}
{{- end }}
{{- $memory := dig "limits" "memory" "" (default dict .resources) }}
{{- if and $memory $.Values.memoryLimitPercent }}
- name: GOMEMLIMIT
  value: {{ div (mul (include "capi-dispatcher.bytes" $memory | int64) (int64 $.Values.memoryLimitPercent)) 100 | quote }}
{{- end }}
{{- end -}}

{{- define "capi-dispatcher.resourceAttributes" -}}
k8s.pod.name=$(POD_NAME),k8s.namespace.name={{ .Release.Namespace }}
{{- range $name, $value := .Values.otlp.resourceAttributes }},{{ $name }}={{ $value }}{{ end -}}
{{- end -}}

{{/* A container of the program: given the context, its name and its arguments. */}}
{{- define "capi-dispatcher.container" -}}
{{- $ := .context -}}
name: {{ .name }}
image: {{ include "capi-dispatcher.image" $ }}
imagePullPolicy: {{ $.Values.image.pullPolicy }}
args: {{ toJson (concat .args (list "--config" (printf "%s/config.yaml" (include "capi-dispatcher.configDir" $)))) }}
securityContext: {{- toYaml $.Values.securityContext | nindent 2 }}
{{- with $.Values.extraEnvFrom }}
envFrom: {{- tpl (toYaml .) $ | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "capi-dispatcher.volumeMounts" -}}
- {name: config, mountPath: {{ include "capi-dispatcher.configDir" . }}, readOnly: true}
{{- if .Values.tokens }}
- {name: tokens, mountPath: {{ include "capi-dispatcher.tokenDir" . }}, readOnly: true}
{{- end }}
{{- range include "capi-dispatcher.secretFiles" . | fromYamlArray }}
- {name: {{ .volume }}, mountPath: /etc/capi-dispatcher/{{ .volume }}, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end -}}

{{/* What a receiver of webhooks has as files: no access token, and no app secret but to know Meta by. */}}
{{- define "capi-dispatcher.filesOfReceiver" -}}
{{- $files := list -}}
{{- range concat (include "capi-dispatcher.secretFiles" . | fromYamlArray) (include "capi-dispatcher.receiverFiles" . | fromYamlArray) }}
{{- if ne .volume "app-secret" }}{{ $files = append $files . }}{{ end -}}
{{- end -}}
{{- toYaml $files -}}
{{- end -}}

{{- define "capi-dispatcher.receiverMounts" -}}
- {name: config, mountPath: {{ include "capi-dispatcher.configDir" . }}, readOnly: true}
{{- range include "capi-dispatcher.filesOfReceiver" . | fromYamlArray }}
- {name: {{ .volume }}, mountPath: /etc/capi-dispatcher/{{ .volume }}, readOnly: true}
{{- end }}
{{- end -}}

{{- define "capi-dispatcher.receiverVolumes" -}}
- name: config
  configMap: {name: {{ include "capi-dispatcher.fullname" . }}}
{{- include "capi-dispatcher.fileVolumes" (include "capi-dispatcher.filesOfReceiver" . | fromYamlArray) }}
{{- end -}}

{{- define "capi-dispatcher.fileVolumes" -}}
{{- range . }}
- name: {{ .volume }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items:
      {{- range .files }}{{ if . }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}{{ end }}
{{- end }}
{{- end -}}

{{/*
The volumes; config names the ConfigMap. Whole directories are mounted, never single files with subPath: those would not follow a changed
Secret.
*/}}
{{- define "capi-dispatcher.volumes" -}}
{{- $ := .context -}}
- name: config
  configMap: {name: {{ .config }}}
{{- with $.Values.tokens }}
- name: tokens
  projected:
    defaultMode: 0440
    sources:
      {{- range . }}
      - secret: {{- toYaml . | nindent 10 }}
      {{- end }}
{{- end }}
{{- include "capi-dispatcher.fileVolumes" (include "capi-dispatcher.secretFiles" $ | fromYamlArray) }}
{{- with $.Values.extraVolumes }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end -}}

{{- define "capi-dispatcher.probe" -}}
httpGet: {path: {{ .path }}, port: admin}
{{ toYaml .pace }}
{{- end -}}

{{/* Annotations of a hook before install and upgrade, given its weight. Helm prints the log of what has run. */}}
{{- define "capi-dispatcher.hook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
helm.sh/hook-output-log-policy: hook-succeeded,hook-failed
{{- end -}}
