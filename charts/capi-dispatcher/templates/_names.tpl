{{/* Names and labels. */}}

{{- define "capi-dispatcher.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The release's name, with the chart's where it is not in it. Leaves room for a suffix of ours in a name of 63 characters. */}}
{{- define "capi-dispatcher.fullname" -}}
{{- $name := include "capi-dispatcher.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The labels that never change, because a Deployment's selector cannot. */}}
{{- define "capi-dispatcher.selectorLabels" -}}
app.kubernetes.io/name: {{ include "capi-dispatcher.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "capi-dispatcher.labels" -}}
{{ include "capi-dispatcher.podLabels" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* Without the chart's version: a new chart that changes nothing about the pods should not replace them. */}}
{{- define "capi-dispatcher.podLabels" -}}
{{ include "capi-dispatcher.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "capi-dispatcher.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "capi-dispatcher.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "capi-dispatcher.image" -}}
{{- $registry := default .Values.image.registry .Values.global.imageRegistry -}}
{{- with $registry }}{{ . }}/{{ end -}}
{{- .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- with .Values.image.tag }}:{{ . }}{{ end }}@{{ .Values.image.digest -}}
{{- else -}}
:{{ default .Chart.AppVersion .Values.image.tag -}}
{{- end -}}
{{- end -}}

{{- define "capi-dispatcher.adminPort" -}}
{{- regexFind "[0-9]+$" .Values.config.admin.address -}}
{{- end -}}

{{/* Where receivers of webhooks listen. */}}
{{- define "capi-dispatcher.webhooksPort" -}}
{{- regexFind "[0-9]+$" (dig "webhooks" "address" ":8443" .Values.config) -}}
{{- end -}}

{{- define "capi-dispatcher.receiver" -}}{{ include "capi-dispatcher.fullname" . }}-webhooks{{- end -}}
