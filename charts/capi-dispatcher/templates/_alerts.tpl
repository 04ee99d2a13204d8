{{/*
The alerts: key in the values, name, what layer they are of, expression, and what to say. SELECTOR stands for this release's metrics, RELEASE for
its recorded ones, THRESHOLD for the threshold, BUDGET for the part of events that may be late. docs/observability.md lists the metrics, and
docs/runbooks.md says what to do. Where an expression looks clumsy, it is for the sake of: a counter's first value, which is no rise (so there are
zeros from the start, and times of the last event); a gap between scrapes, after which old counters are no news; and back-off, in which a trouble
seems to be over (so gauges are looked at over a while). The tests in charts/test show each.
*/}}
{{- define "capi-dispatcher.alerts" -}}
- key: absent
  alert: CapiDispatcherAbsent
  layer: server
  expr: absent(capi_condition{SELECTOR})
  summary: 'No worker reports anything'
  description: 'No worker is up, or none is scraped. Events wait in NATS; Meta takes them for 7 days.'
- key: notReady
  alert: CapiDispatcherNotReady
  layer: server
  expr: avg by (namespace, pod, condition) (avg_over_time(capi_condition{SELECTOR}[5m])) < 0.5
  summary: 'Worker {{ "{{ $labels.pod }}" }} is not ready: {{ "{{ $labels.condition }}" }}'
  description: 'For most of the last five minutes the condition "{{ "{{ $labels.condition }}" }}" has not held: no events flow through this worker, or some cannot be put where they belong. /readyz says why.'
- key: nothingAccepted
  alert: CapiDispatcherNothingAccepted
  layer: service
  expr: |-
    (
      max by (namespace) (capi_backlog_oldest_seconds{SELECTOR,store="events"}) > THRESHOLD
      or (
        max by (namespace) (capi_events_last_settled_seconds{SELECTOR,outcome="parked",reason!~"not_yet|no_answer|unlinked|undelivered",dataset!="other"}) > time() - 1200
        unless on (namespace) max by (namespace) (capi_events_last_settled_seconds{SELECTOR,outcome="accepted"})
        > on (namespace) max by (namespace) (capi_events_last_settled_seconds{SELECTOR,outcome="parked",reason!~"not_yet|no_answer|unlinked|undelivered",dataset!="other"})
      )
    )
    unless on (namespace) (
      sum by (namespace) (increase(capi_outcomes_total{SELECTOR,outcome="accepted"}[5m])) > 0
      or max by (namespace) (capi_events_last_settled_seconds{SELECTOR,outcome="accepted"}) > time() - 300
    )
  summary: 'Events wait, and none is accepted'
  description: 'Nothing has been accepted for a quarter of an hour, of any dataset, although events wait.'
- key: inVain
  alert: CapiDispatcherInVain
  layer: service
  expr: |-
    max by (namespace) (increase(capi_store_published_total{SELECTOR,store="events"}[30m])) > 0
    unless on (namespace) sum by (namespace) (increase(capi_outcomes_total{SELECTOR,outcome=~"accepted|duplicate"}[30m])) > 0
  summary: 'Events are published, and none is accepted'
  description: 'In the last half hour, something was published, and nothing of it was an event that Meta takes.'
- key: backlogGrowing
  alert: CapiDispatcherBacklogGrowing
  layer: service
  expr: |-
    max by (namespace, store) (min_over_time(capi_backlog_messages{SELECTOR,state="pending"}[15m]))
    > max by (namespace, store) (max_over_time(capi_backlog_messages{SELECTOR,state="pending"}[15m] offset 15m))
    > THRESHOLD
  summary: 'More and more messages wait in the stream: {{ "{{ $labels.store }}" }}'
  description: 'At least {{ "{{ $value | humanize }}" }} messages wait to be delivered, more than at any time in the quarter of an hour before.'
- key: late1h
  alert: CapiDispatcherLate1h
  layer: service
  expr: |-
    capi:events_late:ratio_rate1h{RELEASE} > 14.4 * BUDGET
    and capi:events_late:ratio_rate5m{RELEASE} > 14.4 * BUDGET
  summary: 'Too many events are late, over 1h'
  description: '{{ "{{ $value | humanizePercentage }}" }} of the events of the last 1h were not accepted within an hour of their event_time: at this pace the error budget of thirty days lasts for two days.'
- key: late6h
  alert: CapiDispatcherLate6h
  layer: service
  expr: |-
    capi:events_late:ratio_rate6h{RELEASE} > 6 * BUDGET
    and capi:events_late:ratio_rate30m{RELEASE} > 6 * BUDGET
  summary: 'Too many events are late, over 6h'
  description: '{{ "{{ $value | humanizePercentage }}" }} of the events of the last 6h were not accepted within an hour of their event_time: at this pace the error budget of thirty days lasts for five days.'
- key: late3d
  alert: CapiDispatcherLate3d
  layer: service
  expr: |-
    capi:events_late:ratio_rate3d{RELEASE} > 1 * BUDGET
    and capi:events_late:ratio_rate6h{RELEASE} > 1 * BUDGET
  summary: 'Too many events are late, over 3d'
  description: '{{ "{{ $value | humanizePercentage }}" }} of the events of the last 3d were not accepted within an hour of their event_time: at this pace the error budget of thirty days lasts for thirty days.'
- key: errorShare
  alert: CapiDispatcherErrorShare
  layer: service
  expr: |-
    sum by (namespace) (rate(capi_request_duration_seconds_count{SELECTOR,verdict=~"refused|paused|throttled"}[1d]))
    / sum by (namespace) (rate(capi_request_duration_seconds_count{SELECTOR}[1d])) > THRESHOLD
    and sum by (namespace) (increase(capi_request_duration_seconds_count{SELECTOR,verdict=~"refused|paused|throttled"}[1d])) > 20
  summary: 'Meta refuses too many requests'
  description: 'Of the requests of the last day, {{ "{{ $value | humanizePercentage }}" }} were refused. From 10 % over 15 days on, the app loses its access level.'
- key: lookupsRefused
  alert: CapiDispatcherLookupsRefused
  layer: service
  expr: sum by (namespace) (increase(capi_lookups_total{SELECTOR,result="refused"}[15m])) > 0
  summary: 'Meta does not tell the dataset of accounts'
  description: 'Events published to auto wait, because the question for the dataset of their account is refused: a token, a permission or an id has to be mended.'
- key: maybeSent
  alert: CapiDispatcherMaybeSent
  layer: service
  expr: sum by (namespace) (increase(capi_maybe_sent_total{SELECTOR}[1h])) > THRESHOLD
  summary: 'Events may have been counted twice'
  description: 'For {{ "{{ $value | humanize }}" }} events in an hour nobody can tell whether Meta received them.'
- key: unconfirmed
  alert: CapiDispatcherUnconfirmed
  layer: service
  expr: sum by (namespace, pod) (min_over_time(capi_confirms_pending{SELECTOR}[5m])) > 0
  summary: 'Worker {{ "{{ $labels.pod }}" }} has sent events that Redis does not know of'
  description: 'Should copies of these events arrive, or the worker die, they could be sent again. Look after Redis.'
- key: stuck
  alert: CapiDispatcherStuck
  layer: service
  expr: |-
    sum by (namespace, pod) (min_over_time(capi_messages_in_flight{SELECTOR}[10m])) > 0
    unless on (namespace, pod) sum by (namespace, pod) (rate(capi_outcomes_total{SELECTOR}[10m])) > 0
  summary: 'Worker {{ "{{ $labels.pod }}" }} has events in flight, and none leaves'
  description: 'Nothing was accepted, parked or dead-lettered for ten minutes. Look at its log, and at /readyz.'
- key: datasetStalled
  alert: CapiDispatcherDatasetStalled
  layer: dataset
  expr: |-
    max by (namespace, dataset) (capi_events_last_settled_seconds{SELECTOR,outcome="parked",reason!~"not_yet|undelivered"}) > time() - 1200
    unless on (namespace, dataset) max by (namespace, dataset) (capi_events_last_settled_seconds{SELECTOR,outcome="accepted"}) > time() - 300
    unless on (namespace, dataset) max by (namespace, dataset) (capi_events_last_settled_seconds{SELECTOR,outcome="accepted"})
      > on (namespace, dataset) max by (namespace, dataset) (capi_events_last_settled_seconds{SELECTOR,outcome="parked",reason!~"not_yet|undelivered"})
  summary: 'Events of dataset {{ "{{ $labels.dataset }}" }} wait, and none is accepted'
  description: 'For a quarter of an hour its events have been parked, and none of them accepted. "other" stands for all datasets that are not known.'
- key: paused
  alert: CapiDispatcherPaused
  layer: dataset
  expr: max by (namespace, dataset, reason) (max_over_time(capi_dataset_paused{SELECTOR,reason="paused",known="true"}[3m])) > 0
  summary: 'Dataset {{ "{{ $labels.dataset }}" }} is paused'
  description: 'Its token is dead, or a permission is missing. Its events wait, and go on by themselves when the token is replaced. A worker names 100 datasets at most; `capi_datasets_troubled` counts all.'
- key: unknownDataset
  alert: CapiDispatcherUnknownDataset
  layer: dataset
  expr: max by (namespace, dataset, reason) (max_over_time(capi_dataset_paused{SELECTOR,reason="paused",known="false"}[10m])) > 0
  summary: 'Events are published for dataset {{ "{{ $labels.dataset }}" }}, which is not known'
  description: 'Meta refuses the token for it, and has never accepted an event of it here: it may be a mistake of its producer, or a dataset whose token was never right. A worker names 100 datasets at most; `capi_datasets_troubled` counts all.'
- key: refused
  alert: CapiDispatcherRefused
  layer: dataset
  expr: max by (namespace, dataset, reason) (max_over_time(capi_dataset_paused{SELECTOR,reason="refused"}[15m])) > 0
  summary: 'Everything that dataset {{ "{{ $labels.dataset }}" }} is sent is refused'
  description: 'Meta refuses each event that is tried, with a code that does not speak of events. It may be a setting of the app, the business or the dataset. The events wait. A worker names 100 datasets at most; `capi_datasets_troubled` counts all.'
- key: failing
  alert: CapiDispatcherFailing
  layer: dataset
  expr: max by (namespace, dataset, reason) (max_over_time(capi_dataset_paused{SELECTOR,reason="failing"}[20m])) > 0
  summary: 'Requests for dataset {{ "{{ $labels.dataset }}" }} fail'
  description: 'They end without a usable answer, or Meta says that something is wrong on its side. The events wait, and are tried again. A worker names 100 datasets at most; `capi_datasets_troubled` counts all.'
- key: unlinked
  alert: CapiDispatcherUnlinked
  layer: dataset
  expr: max by (namespace, dataset, reason) (max_over_time(capi_dataset_paused{SELECTOR,reason="unlinked"}[15m])) > 0
  summary: 'Accounts are not linked to dataset {{ "{{ $labels.dataset }}" }}, or cannot be looked up'
  description: 'Events of a page, WhatsApp Business Account or Instagram account wait, because Meta says that it is not linked to the dataset, or does not tell its dataset. A worker names 100 datasets at most; `capi_datasets_troubled` counts all.'
- key: throttled
  alert: CapiDispatcherThrottled
  layer: dataset
  expr: max by (namespace, dataset, reason) (max_over_time(capi_dataset_paused{SELECTOR,reason="throttled"}[20m])) > 0
  summary: 'Dataset {{ "{{ $labels.dataset }}" }} is throttled by Meta'
  description: 'Meta''s rate limits are hit again and again. Events arrive late; more workers would not help. A worker names 100 datasets at most; `capi_datasets_troubled` counts all.'
- key: deadLetters
  alert: CapiDispatcherDeadLetters
  layer: dataset
  expr: time() - max by (namespace, dataset, reason) (capi_events_last_settled_seconds{SELECTOR,outcome="dead_lettered"}) < THRESHOLD
  summary: 'Dead letters of dataset {{ "{{ $labels.dataset }}" }}: {{ "{{ $labels.reason }}" }}'
  description: 'The last one was {{ "{{ $value | humanizeDuration }}" }} ago. `capi-dispatcher dlq ls` says why.'
- key: nearExpiry
  alert: CapiDispatcherNearExpiry
  layer: loss
  expr: |-
    min by (namespace, reason) (capi_parked_time_to_expiry_seconds{SELECTOR,known="true",reason!~"unlinked|no_answer|not_yet"}) < THRESHOLD
    or 604800 - max by (namespace) (capi_backlog_oldest_seconds{SELECTOR,store="events"}) < THRESHOLD
  summary: 'Events that wait are soon too old for Meta'
  description: 'In {{ "{{ $value | humanizeDuration }}" }} the first of them is lost: Meta takes events for 7 days. They wait in the parked stream for the reason "{{ "{{ $labels.reason }}" }}", or, where there is none, in the stream of events.'
- key: expired
  alert: CapiDispatcherExpired
  layer: loss
  expr: sum by (namespace) (increase(capi_events_lost_total{SELECTOR,reason="expired"}[15m])) > THRESHOLD
  summary: 'Events became too old for Meta'
  description: 'Meta takes events for 7 days. About {{ "{{ $value | humanize }}" }} waited for longer, in the last 15 minutes, and are dead letters now.'
- key: storeFilling
  alert: CapiDispatcherStoreFilling
  layer: loss
  expr: max by (namespace, store) (capi_store_used_bytes{SELECTOR} / capi_store_limit_bytes{SELECTOR}) > THRESHOLD
  summary: 'Room runs short in NATS: {{ "{{ $labels.store }}" }}'
  description: 'It holds {{ "{{ $value | humanizePercentage }}" }} of what it may hold; full, it refuses. /readyz says which dataset has most of it.'
- key: tokenOld
  alert: CapiDispatcherTokenOld
  layer: program
  expr: max by (namespace, dataset) (capi_token_age_seconds{SELECTOR}) > THRESHOLD
  summary: 'The access token of dataset {{ "{{ $labels.dataset }}" }} is old'
  description: 'Its file was changed {{ "{{ $value | humanizeDuration }}" }} ago. Where tokens end after 60 days, replace it now.'
- key: books
  alert: CapiDispatcherBooks
  layer: program
  expr: |-
    (
      abs(
        sum by (namespace, pod, dataset) (capi_events_received_total{SELECTOR})
        - sum by (namespace, pod, dataset) (capi_events_settled_total{SELECTOR})
        - sum by (namespace, pod, dataset) (capi_events_in_flight{SELECTOR})
      ) > 0
      unless on (namespace, pod, dataset) sum by (namespace, pod, dataset) (increase(capi_events_received_total{SELECTOR}[5m])) > 0
    )
    or sum by (namespace, pod, dataset) (capi_events_in_flight{SELECTOR}) < 0
    or (
      sum by (namespace, pod) (capi_events_in_flight{SELECTOR}) > 0
      unless on (namespace, pod) max_over_time(capi_messages_in_flight{SELECTOR}[5m]) > 0
    )
  summary: 'The books of worker {{ "{{ $labels.pod }}" }} do not balance'
  description: 'Events were received that are neither settled nor in flight, or the other way round. Either the program or its metrics are at fault.'
- key: overflow
  alert: CapiDispatcherOverflow
  layer: program
  expr: count by (namespace) ({__name__=~"capi_.+",SELECTOR,otel_metric_overflow="true"}) > 0
  summary: 'Metrics are counted together'
  description: 'A metric has more series than its limit; what is beyond is counted without its labels.'
{{- end -}}

{{/*
What the service level is made of: the part of the events that were not accepted within an hour, over the windows that the alerts look at. Events that
were published too late for that do not count.
*/}}
{{- define "capi-dispatcher.records" -}}
{{- range list "5m" "30m" "1h" "6h" "3d" }}
- record: capi:events_late:ratio_rate{{ . }}
  expr: |-
    sum by (namespace) (rate(capi_events_timely_total{SELECTOR,result="late"}[{{ . }}]))
    / sum by (namespace) (rate(capi_events_timely_total{SELECTOR,result!="published_late"}[{{ . }}]))
{{- end }}
{{- end -}}
