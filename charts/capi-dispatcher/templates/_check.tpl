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
{{- if .Values.webhooks.enabled -}}
{{- if not (dig "attribution" "enabled" false .Values.config) -}}
{{- fail "webhooks.enabled: config.attribution.enabled is false; what webhooks tell would be of no use" -}}
{{- end -}}
{{- if not (or .Values.secrets.peopleKeys.name (dig "attribution" "key_file" "" .Values.config)) -}}
{{- fail "webhooks.enabled: name a Secret with the keys for what is kept of people in secrets.peopleKeys" -}}
{{- end -}}
{{- if ne (empty .Values.secrets.verifyToken.name) (empty .Values.secrets.webhookAppSecrets) -}}
{{- fail "secrets.verifyToken, secrets.webhookAppSecrets: one needs the other; with neither, only what partners publish is taken" -}}
{{- end -}}
{{- if eq .Values.streams.owner "nack" -}}
{{- fail "webhooks.enabled: with streams.owner nack nobody makes the streams of clicks; choose worker or job" -}}
{{- end -}}
{{- if and .Values.webhooks.httpRoute.enabled (not .Values.webhooks.httpRoute.parentRefs) -}}
{{- fail "webhooks.httpRoute.parentRefs: name the Gateway" -}}
{{- end -}}
{{- if and .Values.webhooks.ingress.enabled (not .Values.webhooks.ingress.host) -}}
{{- fail "webhooks.ingress.host: name the host that Meta is to call" -}}
{{- end -}}
{{- end -}}
{{- include "capi-dispatcher.checkConfig" (include "capi-dispatcher.config" . | fromYaml) -}}
{{- end -}}

{{/*
What `config check` refuses and the schema cannot say: settings that contradict each other, and durations out of their bounds. All of it is
reported at once. A key that is not set has the program's default, which a test compares.
*/}}
{{- define "capi-dispatcher.checkConfig" -}}
{{- $c := . -}}
{{- $faults := list -}}
{{- $ms := dict -}}
{{- range $key, $preset := dict "graph.timeout" "15s" "nats.ack_wait" "30s" "nats.max_age" "192h" "nats.dead_letter_max_age" "2160h"
  "dedupe.window" "192h" "dedupe.takeover" "10m" "batch.linger" "250ms" "batch.gather" "0s" "delivery.max_wait" "15s"
  "delivery.retry.initial" "500ms" "delivery.retry.max" "30s" "delivery.retry.budget" "45s" "delivery.park.initial" "1m" "delivery.park.max" "15m" -}}
{{- $value := $preset -}}
{{- $section := $c -}}
{{- $path := splitList "." $key -}}
{{- range initial $path }}{{ $section = get (default dict $section) . | default dict }}{{ end -}}
{{- if hasKey $section (last $path) }}{{ $value = get $section (last $path) }}{{ end -}}
{{- $_ := set $ms $key (include "capi-dispatcher.milliseconds" $value | int64) -}}
{{- end -}}
{{- range $key, $bounds := dict "graph.timeout" (list 100 "100ms" 120000 "2m") "nats.ack_wait" (list 1000 "1s" 3600000 "1h")
  "batch.linger" (list 0 "0s" 60000 "1m") "batch.gather" (list 0 "0s" 60000 "1m") "delivery.retry.budget" (list 0 "0s" 600000 "10m") -}}
{{- $value := get $ms $key -}}
{{- if or (lt $value (index $bounds 0 | int64)) (gt $value (index $bounds 2 | int64)) -}}
{{- $faults = append $faults (printf "config.%s: is not between %s and %s" $key (index $bounds 1) (index $bounds 3)) -}}
{{- end -}}
{{- end -}}
{{- range $key, $least := dict "dedupe.window" (list 604800000 "168h, for which Meta takes events") "delivery.max_wait" (list 1000 "1s")
  "delivery.park.initial" (list 1000 "1s") "delivery.retry.initial" (list 1 "1ms") -}}
{{- if lt (get $ms $key) (index $least 0 | int64) -}}
{{- $faults = append $faults (printf "config.%s: is less than %s" $key (index $least 1)) -}}
{{- end -}}
{{- end -}}
{{- range $key, $least := dict "nats.max_age" (list 604800000 "168h, for which Meta takes events") "nats.dead_letter_max_age" (list 3600000 "1h") -}}
{{- $value := get $ms $key -}}
{{- if and $value (lt $value (index $least 0 | int64)) -}}
{{- $faults = append $faults (printf "config.%s: is less than %s; 0s is for ever" $key (index $least 1)) -}}
{{- end -}}
{{- end -}}
{{- range $kind := list "retry" "park" -}}
{{- if lt (get $ms (printf "delivery.%s.max" $kind)) (get $ms (printf "delivery.%s.initial" $kind)) -}}
{{- $faults = append $faults (printf "config.delivery.%s.max: is less than delivery.%s.initial" $kind $kind) -}}
{{- end -}}
{{- end -}}
{{- if lt (get $ms "nats.ack_wait") (mul 2 (get $ms "graph.timeout")) -}}
{{- $faults = append $faults "config.nats.ack_wait: is less than twice config.graph.timeout: a message could go to another worker while it is being sent" -}}
{{- end -}}
{{- if lt (get $ms "dedupe.takeover") (mul 3 (get $ms "nats.ack_wait")) -}}
{{- $faults = append $faults "config.dedupe.takeover: is less than three times config.nats.ack_wait: events could be taken over that are being sent" -}}
{{- end -}}
{{- if gt (mul 2 (get $ms "dedupe.takeover")) (get $ms "dedupe.window") -}}
{{- $faults = append $faults "config.dedupe.takeover: is more than half of config.dedupe.window" -}}
{{- end -}}
{{- $delivery := $c.delivery | default dict -}}
{{- if gt (int64 (get $delivery "senders_per_dataset" | default 2)) (int64 (get $delivery "senders" | default 32)) -}}
{{- $faults = append $faults "config.delivery.senders_per_dataset: is more than config.delivery.senders" -}}
{{- end -}}
{{- $redis := $c.redis | default dict -}}
{{- if and (eq (get $redis "mode" | default "single") "sentinel") (not (get $redis "sentinel_master")) -}}
{{- $faults = append $faults "config.redis.sentinel_master: is empty; name the master that the sentinels watch" -}}
{{- end -}}
{{- if and (eq (get $redis "mode" | default "single") "single") (contains "," (get $redis "url" | default "")) -}}
{{- $faults = append $faults "config.redis.url: names several servers; set config.redis.mode to sentinel or cluster" -}}
{{- end -}}
{{- $nats := $c.nats | default dict -}}
{{- $logins := list -}}
{{- range $key := list "creds_file" "nkey_seed_file" "user" "token_file" }}{{ if get $nats $key }}{{ $logins = append $logins $key }}{{ end }}{{ end -}}
{{- if gt (len $logins) 1 -}}
{{- $faults = append $faults (printf "config.nats: %s: choose one way to log in" (join ", " $logins)) -}}
{{- end -}}
{{- if ne (empty (get $nats "user")) (empty (get $nats "password_file")) -}}
{{- $faults = append $faults "config.nats.user, password_file: one needs the other" -}}
{{- end -}}
{{- range $name, $section := dict "nats" $nats "redis" $redis -}}
{{- $tls := get $section "tls" | default dict -}}
{{- if ne (empty (get $tls "cert_file")) (empty (get $tls "key_file")) -}}
{{- $faults = append $faults (printf "config.%s.tls.cert_file, key_file: one needs the other" $name) -}}
{{- end -}}
{{- end -}}
{{- $subjects := dict "subject" (get $nats "subject" | default "capi.events") "parked_subject" (get $nats "parked_subject" | default "capi.parked")
  "dead_letter_subject" (get $nats "dead_letter_subject" | default "capi.dead") -}}
{{- range $key, $subject := $subjects -}}
{{- range $other, $prefix := $subjects -}}
{{- if and (ne $key $other) (hasPrefix (printf "%s." $prefix) (printf "%s." $subject)) -}}
{{- $faults = append $faults (printf "config.nats.%s: %s lies within %s %s" $key $subject $other $prefix) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $faults }}{{ fail (join "\n" $faults) }}{{ end -}}
{{- end -}}

{{/* A duration as Go writes it, in milliseconds. */}}
{{- define "capi-dispatcher.milliseconds" -}}
{{- $zero := toDate "2006-01-02T15:04:05Z07:00" "2000-01-01T00:00:00Z" -}}
{{- $end := mustDateModify . $zero -}}
{{- add (mul 1000 (sub (unixEpoch $end | int64) (unixEpoch $zero | int64))) (date ".000" $end | trimPrefix "." | atoi) -}}
{{- end -}}
