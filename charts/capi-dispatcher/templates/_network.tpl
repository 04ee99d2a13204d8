{{/* What the pods may talk to. */}}

{{/* The port of a URL: given the URL and the ports of schemes, for URLs that name none. */}}
{{- define "capi-dispatcher.port" -}}
{{- $url := urlParse (trim .url) -}}
{{- default (get .ports $url.scheme | toString) (regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host)) -}}
{{- end -}}

{{/* The ports of addresses separated by commas, in a list; ports that are given come first. */}}
{{- define "capi-dispatcher.ports" -}}
{{- $ports := list -}}
{{- range .given }}{{ $ports = append $ports (toString .) }}{{ end -}}
{{- if not $ports -}}
{{- if .hidden -}}
{{- fail (printf "%s.ports: name the ports; the address is in a Secret, where the chart cannot look" .key) -}}
{{- end -}}
{{- range splitList "," .urls }}{{ $ports = append $ports (include "capi-dispatcher.port" (dict "url" . "ports" $.defaults)) }}{{ end -}}
{{- range .more }}{{ $ports = append $ports . }}{{ end -}}
{{- end -}}
{{- $ports | uniq | join "," -}}
{{- end -}}

{{/* A rule: ports in a text, separated by commas, and peers. Without peers, any. */}}
{{- define "capi-dispatcher.egress" -}}
- ports:
    {{- range splitList "," .ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "capi-dispatcher.otlpPorts" -}}
{{- $urls := list -}}
{{- with .Values.otlp.endpoint }}{{ $urls = append $urls (tpl . $) }}{{ end -}}
{{- range .Values.extraEnv }}
{{- if and (regexMatch "^OTEL_EXPORTER_OTLP_([A-Z]+_)?ENDPOINT$" .name) .value }}{{ $urls = append $urls (tpl .value $) }}{{ end }}
{{- end -}}
{{- $ports := list -}}
{{- range $urls }}{{ $ports = append $ports (include "capi-dispatcher.port" (dict "url" . "ports" (dict "http" "80" "https" "443"))) }}{{ end -}}
{{- $ports | uniq | join "," -}}
{{- end -}}

{{/* Meta has no fixed addresses: everything outside is allowed, on the one port. */}}
{{- define "capi-dispatcher.outside" -}}
- ipBlock:
    cidr: 0.0.0.0/0
    except: {{- toYaml .ipv4 | nindent 6 }}
- ipBlock:
    cidr: ::/0
    except: {{- toYaml .ipv6 | nindent 6 }}
{{- end -}}

{{- define "capi-dispatcher.egressRules" -}}
{{- $policy := .Values.networkPolicy -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
  {{- with $policy.dns.to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- $nats := include "capi-dispatcher.ports" (dict "key" "networkPolicy.nats" "given" $policy.nats.ports "urls" .Values.config.nats.url
  "hidden" .Values.secrets.natsURL.name "defaults" (dict "nats" "4222" "tls" "4222" "ws" "80" "wss" "443")) }}
{{ include "capi-dispatcher.egress" (dict "ports" $nats "to" $policy.nats.to) }}
{{- $sentinel := eq (dig "redis" "mode" "single" .Values.config) "sentinel" }}
{{- $redis := include "capi-dispatcher.ports" (dict "key" "networkPolicy.redis" "given" $policy.redis.ports "urls" .Values.config.redis.url
  "hidden" .Values.secrets.redisURL.name "defaults" (dict "redis" "6379" "rediss" "6379") "more" (ternary (list "6379") list $sentinel)) }}
{{ include "capi-dispatcher.egress" (dict "ports" $redis "to" $policy.redis.to) }}
{{- with include "capi-dispatcher.otlpPorts" . }}
{{ include "capi-dispatcher.egress" (dict "ports" . "to" $policy.otlp.to) }}
{{- end }}
{{- $url := dig "graph" "url" "https://graph.facebook.com" .Values.config }}
{{- $graph := $policy.graph.to }}
{{- if and (not $graph) (hasSuffix ".facebook.com" (urlParse $url).hostname) }}
{{- $graph = include "capi-dispatcher.outside" $policy.privateRanges | fromYamlArray }}
{{- end }}
{{ include "capi-dispatcher.egress" (dict "ports" (include "capi-dispatcher.port" (dict "url" $url "ports" (dict "https" "443" "http" "80"))) "to" $graph) }}
{{- with $policy.extraEgress }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end -}}
