{{/* What a schema cannot say: values that contradict each other. */}}
{{- define "capi-dispatcher.check" -}}
{{- if and .Values.autoscaling.enabled .Values.keda.enabled -}}
{{- fail "autoscaling.enabled, keda.enabled: choose one; KEDA makes a HorizontalPodAutoscaler of its own" -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled -}}
{{- fail "podMonitor.enabled, serviceMonitor.enabled: choose one; with both, everything is counted twice" -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (not (or .Values.networkPolicy.metrics.from .Values.networkPolicy.extraIngress)) -}}
{{- range $name, $monitor := dict "podMonitor" .Values.podMonitor "serviceMonitor" .Values.serviceMonitor -}}
{{- if $monitor.enabled -}}
{{- fail (printf "%s.enabled: the NetworkPolicy lets nobody in to scrape; name Prometheus' namespace in networkPolicy.metrics.from, as [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $scaler := dict "autoscaling" (dict "min" .Values.autoscaling.minReplicas "max" .Values.autoscaling.maxReplicas)
  "keda" (dict "min" .Values.keda.minReplicaCount "max" .Values.keda.maxReplicaCount) -}}
{{- if gt (int64 $scaler.min) (int64 $scaler.max) -}}
{{- fail (printf "%s: the fewest workers (%d) are more than the most (%d)" $name (int64 $scaler.min) (int64 $scaler.max)) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.keda.enabled (eq (int64 .Values.keda.minReplicaCount) 0) (eq .Values.streams.owner "worker") -}}
{{- fail "keda.minReplicaCount: 0 needs the consumers to be there before any worker is: set streams.owner to job, nack or external" -}}
{{- end -}}
{{- $tokenDir := include "capi-dispatcher.tokenDir" . -}}
{{- $mounted := false -}}
{{- range .Values.extraVolumeMounts }}{{ if hasPrefix .mountPath $tokenDir }}{{ $mounted = true }}{{ end }}{{ end -}}
{{- if not (or .Values.tokens $mounted) -}}
{{- fail (printf "tokens: name a Secret with access tokens, or mount a volume with them at %s with extraVolumeMounts" $tokenDir) -}}
{{- end -}}
{{- if and .Values.secrets.natsPassword.name (not (dig "nats" "user" "" .Values.config)) -}}
{{- fail "secrets.natsPassword: config.nats.user is empty; name the user whose password it is" -}}
{{- end -}}
{{- end -}}
