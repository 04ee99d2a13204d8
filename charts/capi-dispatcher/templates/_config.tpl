{{/* The program's configuration: what the values say, and the files that the chart mounts. */}}

{{- define "capi-dispatcher.configDir" -}}/etc/capi-dispatcher/config{{- end -}}

{{- define "capi-dispatcher.tokenDir" -}}
{{- dig "graph" "token_dir" "/etc/capi-dispatcher/tokens" .Values.config -}}
{{- end -}}

{{/*
The secrets that are mounted as files, in a list: each has the Secret's name, and for each of its files the key of the Secret and the key of
the configuration that names the file.
*/}}
{{- define "capi-dispatcher.secretFiles" -}}
{{- $s := .Values.secrets -}}
{{- $files := list
  (dict "volume" "app-secret" "secret" $s.appSecret.name "files" (dict "graph.app_secret_file" $s.appSecret.key))
  (dict "volume" "nats-creds" "secret" $s.natsCreds.name "files" (dict "nats.creds_file" $s.natsCreds.key))
  (dict "volume" "nats-nkey-seed" "secret" $s.natsNKeySeed.name "files" (dict "nats.nkey_seed_file" $s.natsNKeySeed.key))
  (dict "volume" "nats-password" "secret" $s.natsPassword.name "files" (dict "nats.password_file" $s.natsPassword.key))
  (dict "volume" "nats-token" "secret" $s.natsToken.name "files" (dict "nats.token_file" $s.natsToken.key))
  (dict "volume" "nats-tls" "secret" $s.natsTLS.name "files"
    (dict "nats.tls.ca_file" $s.natsTLS.ca "nats.tls.cert_file" $s.natsTLS.cert "nats.tls.key_file" $s.natsTLS.key))
  (dict "volume" "redis-password" "secret" $s.redisPassword.name "files" (dict "redis.password_file" $s.redisPassword.key))
  (dict "volume" "redis-sentinel-password" "secret" $s.redisSentinelPassword.name "files"
    (dict "redis.sentinel_password_file" $s.redisSentinelPassword.key))
  (dict "volume" "redis-tls" "secret" $s.redisTLS.name "files"
    (dict "redis.tls.ca_file" $s.redisTLS.ca "redis.tls.cert_file" $s.redisTLS.cert "redis.tls.key_file" $s.redisTLS.key))
  (dict "volume" "people-keys" "secret" $s.peopleKeys.name "files" (dict "attribution.key_file" $s.peopleKeys.key))
-}}
{{- $used := list -}}
{{- range $files }}{{ if .secret }}{{ $used = append $used . }}{{ end }}{{ end -}}
{{- toYaml $used -}}
{{- end -}}

{{/* The same for what only receivers of webhooks have. */}}
{{- define "capi-dispatcher.receiverFiles" -}}
{{- $s := .Values.secrets -}}
{{- $files := list
  (dict "volume" "verify-token" "secret" $s.verifyToken.name "files" (dict "webhooks.verify_token_file" $s.verifyToken.key))
  (dict "volume" "webhooks-tls" "secret" $s.webhooksTLS.name "files"
    (dict "webhooks.tls.cert_file" $s.webhooksTLS.cert "webhooks.tls.key_file" $s.webhooksTLS.key))
-}}
{{- range $i, $secret := $s.webhookAppSecrets -}}
{{- $files = append $files (dict "volume" (printf "webhook-app-secret-%d" $i) "secret" .name "files" (dict "" (default "app-secret" .key))) -}}
{{- end -}}
{{- $used := list -}}
{{- if .Values.webhooks.enabled }}{{ range $files }}{{ if .secret }}{{ $used = append $used . }}{{ end }}{{ end }}{{ end -}}
{{- toYaml $used -}}
{{- end -}}

{{/* Sets one key of the configuration, given as a path, and refuses to overwrite one that the user has set. */}}
{{- define "capi-dispatcher.setKey" -}}
{{- $path := splitList "." .key -}}
{{- $section := .config -}}
{{- range initial $path -}}
{{- if not (hasKey $section .) }}{{ $_ := set $section . dict }}{{ end -}}
{{- $section = get $section . -}}
{{- end -}}
{{- if hasKey $section (last $path) -}}
{{- fail (printf "config.%s is set by the chart, from %s: leave one of the two out" .key .from) -}}
{{- end -}}
{{- $_ := set $section (last $path) .value -}}
{{- end -}}

{{/* The worker verifies streams that others make; what makes them passes manage: true. */}}
{{- define "capi-dispatcher.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $appSecrets := list -}}
{{- range $secret := concat (include "capi-dispatcher.secretFiles" . | fromYamlArray) (include "capi-dispatcher.receiverFiles" . | fromYamlArray) -}}
{{- range $key, $file := $secret.files -}}
{{- $path := printf "/etc/capi-dispatcher/%s/%s" $secret.volume $file -}}
{{- if and $file $key -}}
{{- include "capi-dispatcher.setKey" (dict "config" $config "key" $key "value" $path "from" "secrets") -}}
{{- else if $file -}}
{{- $appSecrets = append $appSecrets $path -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $appSecrets -}}
{{- include "capi-dispatcher.setKey" (dict "config" $config "key" "webhooks.app_secret_files" "value" $appSecrets "from" "secrets") -}}
{{- end -}}
{{- if ne .Values.streams.owner "worker" -}}
{{- include "capi-dispatcher.setKey" (dict "config" $config "key" "nats.manage" "value" (get . "manage" | default false) "from" "streams.owner") -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* A duration as Go writes it, in whole seconds, rounded up. */}}
{{- define "capi-dispatcher.seconds" -}}
{{- $zero := toDate "2006-01-02T15:04:05Z07:00" "2000-01-01T00:00:00Z" -}}
{{- $end := mustDateModify "999999999ns" (mustDateModify . $zero) -}}
{{- sub (unixEpoch $end | int64) (unixEpoch $zero | int64) -}}
{{- end -}}

{{/* From SIGTERM to SIGKILL: the drain, then up to 5 seconds each for the admin port and for telemetry, and some time to spare. */}}
{{- define "capi-dispatcher.gracePeriod" -}}
{{- $drain := include "capi-dispatcher.seconds" (dig "delivery" "drain_timeout" "25s" .Values.config) | int64 -}}
{{- $given := .Values.terminationGracePeriodSeconds -}}
{{- if kindIs "invalid" $given -}}
{{- add $drain 15 -}}
{{- else if lt (int64 $given) (add $drain 10) -}}
{{- fail (printf "terminationGracePeriodSeconds: %d is too short: after config.delivery.drain_timeout (%ds) the worker needs up to 10s to end, so it has to be %d or more" (int64 $given) $drain (add $drain 10)) -}}
{{- else -}}
{{- int64 $given -}}
{{- end -}}
{{- end -}}

{{/* A quantity of memory, in bytes. */}}
{{- define "capi-dispatcher.bytes" -}}
{{- $units := dict "" 1.0 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 -}}
{{- $text := toString . -}}
{{- if kindIs "float64" . }}{{ $text = int64 . | toString }}{{ end -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- if not (hasKey $units $unit) }}{{ fail (printf "resources.limits.memory: %q is not a size like 256Mi" $text) }}{{ end -}}
{{- mulf (trimSuffix $unit $text | float64) (get $units $unit) | int64 -}}
{{- end -}}

{{/* A size as the program reads it, in bytes, and as JetStream has it: no limit is -1. The schema has seen to its form. */}}
{{- define "capi-dispatcher.limit" -}}
{{- $units := dict "" 1.0 "k" 1e3 "m" 1e6 "g" 1e9 -}}
{{- $text := ternary (int64 . | toString) (toString . | lower) (kindIs "float64" .) -}}
{{- $bytes := mulf (regexFind "^[0-9.]+" $text | float64) (get $units (regexFind "[kmg]" $text)) | int64 -}}
{{- ternary -1 $bytes (eq $bytes 0) -}}
{{- end -}}
