{{/*
How much a counter has grown. A series that was not there before has grown by all it has: increase alone would not see a first dead letter.
*/}}
{{- define "capi-dispatcher.growth" -}}
{{- $counter := first . -}}{{- $range := last . -}}
({{ $counter }} unless {{ $counter }} offset {{ $range }}) or increase({{ $counter }}[{{ $range }}])
{{- end -}}

{{/*
The alerts: name in the values, name, expression, and what to say. SELECTOR stands for this release's metrics, THRESHOLD for the threshold. The
README of the program lists the metrics; docs/deploy.md says what to do.
*/}}
{{- define "capi-dispatcher.alerts" -}}
- key: absent
  alert: CapiDispatcherAbsent
  expr: absent(capi_condition{SELECTOR})
  summary: No worker reports anything
  description: No worker is up, or none is scraped. Events wait in NATS; Meta takes them for 7 days.
- key: notReady
  alert: CapiDispatcherNotReady
  expr: min by (namespace, pod, condition) (capi_condition{SELECTOR}) == 0
  summary: 'Worker {{ "{{ $labels.pod }}" }} is not ready: {{ "{{ $labels.condition }}" }}'
  description: 'The condition "{{ "{{ $labels.condition }}" }}" does not hold: no events flow through this worker, or some cannot be put where they belong. /readyz says why.'
- key: expired
  alert: CapiDispatcherExpired
  expr: sum by (namespace, dataset) ({{ include "capi-dispatcher.growth" (list `capi_events_settled_total{SELECTOR,outcome="dead_lettered",reason="expired"}` "15m") }}) > THRESHOLD
  summary: 'Events of dataset {{ "{{ $labels.dataset }}" }} became too old for Meta'
  description: 'Meta takes events for 7 days. {{ "{{ $value | humanize }}" }} waited for longer, in the last 15 minutes, and are dead letters now.'
- key: deadLetters
  alert: CapiDispatcherDeadLetters
  expr: sum by (namespace, dataset, reason) ({{ include "capi-dispatcher.growth" (list `capi_events_settled_total{SELECTOR,outcome="dead_lettered",reason!="expired"}` "15m") }}) > THRESHOLD
  summary: 'Dead letters of dataset {{ "{{ $labels.dataset }}" }}: {{ "{{ $labels.reason }}" }}'
  description: '{{ "{{ $value | humanize }}" }} events in 15 minutes were dead-lettered. `capi-dispatcher dlq ls` says why.'
- key: paused
  alert: CapiDispatcherPaused
  expr: max by (namespace, dataset) (capi_dataset_paused{SELECTOR,reason="paused"}) > 0
  summary: 'Dataset {{ "{{ $labels.dataset }}" }} is paused'
  description: >-
    Its token is dead, or a permission is missing. Its events wait, and go on by themselves when the token is replaced. A worker names 100
    datasets at most; `capi_datasets_troubled` counts all.
- key: refused
  alert: CapiDispatcherRefused
  expr: max by (namespace, dataset) (max_over_time(capi_dataset_paused{SELECTOR,reason="refused"}[15m])) > 0
  summary: 'Everything that dataset {{ "{{ $labels.dataset }}" }} is sent is refused'
  description: >-
    Meta refuses each event that is tried, with a code that does not speak of events. It may be a setting of the app, the business or the dataset.
    The events wait. A worker names 100 datasets at most; `capi_datasets_troubled` counts all.
- key: unlinked
  alert: CapiDispatcherUnlinked
  expr: max by (namespace, dataset) (max_over_time(capi_dataset_paused{SELECTOR,reason="unlinked"}[15m])) > 0
  summary: 'Accounts are not linked to dataset {{ "{{ $labels.dataset }}" }}, or cannot be looked up'
  description: >-
    Events of a page, WhatsApp Business Account or Instagram account wait, because Meta says that it is not linked to the dataset, or does not tell
    its dataset. A worker names 100 datasets at most; `capi_datasets_troubled` counts all.
- key: throttled
  alert: CapiDispatcherThrottled
  expr: max by (namespace, dataset) (max_over_time(capi_dataset_paused{SELECTOR,reason="throttled"}[15m])) > 0
  summary: 'Dataset {{ "{{ $labels.dataset }}" }} is throttled by Meta'
  description: >-
    Meta's rate limits are hit again and again. Events arrive late; more workers would not help. A worker names 100 datasets at most;
    `capi_datasets_troubled` counts all.
- key: maybeSent
  alert: CapiDispatcherMaybeSent
  expr: sum by (namespace, dataset) ({{ include "capi-dispatcher.growth" (list `capi_events_maybe_sent_total{SELECTOR}` "1h") }}) > THRESHOLD
  summary: 'Events of dataset {{ "{{ $labels.dataset }}" }} may have been counted twice'
  description: 'For {{ "{{ $value | humanize }}" }} events in an hour nobody can tell whether Meta received them.'
- key: slow
  alert: CapiDispatcherSlow
  expr: histogram_quantile(0.95, sum by (namespace, le) (rate(capi_event_latency_seconds_bucket{SELECTOR}[15m]))) > THRESHOLD
  summary: Events arrive late
  description: 'One of twenty took longer than {{ "{{ $value | humanizeDuration }}" }} from NATS to Meta.'
- key: unconfirmed
  alert: CapiDispatcherUnconfirmed
  expr: sum by (namespace, pod) (capi_confirms_pending{SELECTOR}) > 0
  summary: 'Worker {{ "{{ $labels.pod }}" }} has sent events that Redis does not know of'
  description: Should copies of these events arrive, or the worker die, they could be sent again. Look after Redis.
- key: storeFilling
  alert: CapiDispatcherStoreFilling
  expr: max by (namespace, store) (capi_store_used_bytes{SELECTOR} / capi_store_limit_bytes{SELECTOR}) > THRESHOLD
  summary: 'Room runs short in NATS: {{ "{{ $labels.store }}" }}'
  description: 'It holds {{ "{{ $value | humanizePercentage }}" }} of what it may hold; full, it refuses. /readyz says which dataset has most of it.'
- key: stuck
  alert: CapiDispatcherStuck
  expr: >-
    sum by (namespace, pod) (capi_messages_in_flight{SELECTOR}) > 0
    unless sum by (namespace, pod) (rate(capi_outcomes_total{SELECTOR}[10m])) > 0
  summary: 'Worker {{ "{{ $labels.pod }}" }} has events in flight, and none leaves'
  description: Nothing was accepted, parked or dead-lettered for ten minutes. Look at its log, and at /readyz.
{{- end -}}
