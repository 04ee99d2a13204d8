package dispatcher

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/inflight"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/serverclock"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/redact"
)

// meters count what happens to events. An event is counted for the dataset that
// metrics named when it was received, so that the books balance.
type meters struct {
	*metrics.Meters

	datasets *metrics.Datasets
	clock    *serverclock.Clock
}

func newMeters(cfg *Config, deps *Deps, clock *serverclock.Clock) (*meters, error) {
	counted, err := metrics.NewMeters(deps.Meter)
	return &meters{counted, metrics.NewDatasets(cfg.Metrics.Datasets, cfg.DatasetIDs(), deps.Tokens.Owns), clock}, err
}

func (m *meters) received(events ...*inFlight) {
	for group := range inflight.Runs(events, ofOneDataset) {
		series := m.datasets.Of(group[0].lane.dataset)
		m.Received(series, len(group))
		for _, e := range group {
			e.series = series
			m.changed(e)
		}
	}
}

func ofOneDataset(a, b *inFlight) bool { return a.lane.dataset == b.lane.dataset }

// changed counts what has been done to an event that has come in.
func (m *meters) changed(e *inFlight) {
	m.Removed(e.series, e.event.Removed)
	m.Filled(e.series, e.event.Filled)
	m.Repaired(e.series, e.event.Repaired)
	if !e.message.source.parked() { // else it has been counted
		m.warned(e)
	}
}

// warned counts what there is to warn about an event. Whether it is late is the
// producer's matter: what counts is when it was published.
func (m *meters) warned(e *inFlight) {
	for i := range e.event.Warnings {
		m.Warned(e.series, e.event.Warnings[i].Code)
	}
	if late := e.event.CheckPromptness(e.history.firstSeen); late != nil {
		m.Warned(e.series, late.Code)
	}
}

// withheld counts what a message held that is not passed on: credentials, and
// members beside its events. They count for the dataset of its first event.
func (m *meters) withheld(first *inFlight, secrets, members int) {
	if secrets > 0 || members > 0 {
		m.Withheld(m.datasets.Of(first.lane.dataset), secrets, members)
	}
}

func (m *meters) settled(events []*inFlight, f fate) {
	same := func(a, b *inFlight) bool { return a.series == b.series && a.reason == b.reason }
	for group := range inflight.Runs(events, same) {
		m.Settled(group[0].series, f.String(), string(group[0].reason), len(group))
	}
	if f == accepted {
		m.accepted(events)
	}
}

func (m *meters) accepted(events []*inFlight) {
	now := m.clock.Now()
	for group := range inflight.Runs(events, ofOneDataset) {
		m.datasets.Accepted(group[0].lane.dataset)
		for _, e := range group {
			m.Took(now.Sub(e.history.since))
		}
	}
}

func (m *meters) maybeSent(events []*inFlight) {
	for _, e := range events {
		m.MaybeSent(e.series)
	}
}

func (m *meters) posted(ctx context.Context, dataset string, events int, answer *graph.Answer) {
	m.Posted(ctx, m.datasets.Of(dataset), events, answer)
}

func (m *meters) calledBack(dataset string, events int) {
	m.CalledBack(m.datasets.Of(dataset), events)
}

func (m *meters) usage(dataset string, usage *graph.Usage) {
	m.Usage(m.datasets.Of(dataset), usage)
}

// observe adds what is looked at rather than counted.
func (d *Dispatcher) observe(meter metric.Meter) error {
	gauge := func(name, description string, read func() int64) error {
		_, err := meter.Int64ObservableGauge(name, metric.WithDescription(description),
			metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
				o.Observe(read())
				return nil
			}))
		return err
	}
	_, err := meter.Int64ObservableGauge("capi.condition",
		metric.WithDescription("1 where a condition for events to flow holds, else 0"),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for _, c := range d.flow() {
				o.Observe(boolToInt(c.OK), metric.WithAttributes(attribute.String("condition", c.Name)))
			}
			return nil
		}))
	_, err2 := meter.Float64ObservableGauge("capi.clock.skew", metric.WithUnit("s"),
		metric.WithDescription("By how much the NATS server's clock is ahead of the worker's"),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			o.Observe(d.clock.Skew().Seconds())
			return nil
		}))
	return errors.Join(err, err2,
		metrics.ObserveTroubles(meter, d.troubles, d.meters.datasets.Known),
		gauge("capi.messages.in_flight", "Messages in flight", func() int64 { return int64(d.leases.Count()) }),
		gauge("capi.batches.waiting", "Events waiting for a request",
			func() int64 { return int64(d.batches.Stats().Waiting) }),
		gauge("capi.senders.busy", "Senders in use", func() int64 { return int64(d.batches.Stats().Busy) }),
		gauge("capi.parked.overdue", "Parked events that NATS should have brought back, and has not, at the last look", func() int64 { return int64(d.sweeper.Overdue()) }),
		gauge("capi.confirms.pending", "Events sent that Redis does not know of yet",
			func() int64 { return int64(d.claims.Pending()) }),
	)
}

func boolToInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// One trace leads from the producer to Meta: an event's span continues the
// producer's trace and lasts until the event is settled; the span of a POST,
// which carries the events of many traces, links to the span of each.

// traceContext reads and writes W3C trace context. Baggage is carried along as
// it is and not read: nothing here asks for it, and what is not well-formed in
// it would be reported for each event, text and all.
func traceContext() propagation.TextMapPropagator { return propagation.TraceContext{} }

// carrier lets trace context travel in a message's headers.
type carrier nats.Header

// Get returns a header, however its producer has spelled it, unless it holds
// what looks like a secret: it would go into spans, parked events and letters.
func (c carrier) Get(key string) string {
	value := c.get(key)
	if redact.HoldsToken(value) {
		return ""
	}
	return value
}

func (c carrier) get(key string) string {
	if values := c[key]; len(values) > 0 {
		return values[0]
	}
	for name, values := range c {
		if strings.EqualFold(name, key) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

func (c carrier) Set(key, value string) { c[key] = []string{value} }

func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for key := range c {
		keys = append(keys, key)
	}
	return keys
}

// startSpan begins the span of an event in flight. Where nobody traces, it costs
// nothing, and the producer's trace context is passed on as it came.
func (r *run) startSpan(e *inFlight) {
	if !r.traced {
		e.span = noop.Span{}
		return
	}
	ctx := r.workCtx
	if headers := e.message.Header; len(headers) > 0 {
		ctx = traceContext().Extract(ctx, carrier(headers))
	}
	_, e.span = r.deps.Tracer.Start(ctx, "process event", trace.WithSpanKind(trace.SpanKindConsumer))
	if !e.span.IsRecording() {
		return
	}
	e.span.SetAttributes(
		attribute.String("messaging.system", "nats"),
		attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.destination.name", e.message.source.stream),
		attribute.Int64("messaging.nats.stream.sequence", int64(e.message.sequence)),
		attribute.String("capi.dataset", e.lane.dataset),
		attribute.String("capi.event.name", e.event.Name),
		attribute.String("capi.event.channel", string(e.event.Channel)),
	)
}

// endSpan ends the span of an event with what has become of it.
func endSpan(e *inFlight, f fate) {
	if e.span.IsRecording() {
		e.span.SetAttributes(
			attribute.String("capi.outcome", f.String()),
			attribute.Int("capi.attempts", e.history.attempts),
			attribute.Int("capi.maybe_sent", e.history.maybeSent),
		)
		if e.reason != "" {
			e.span.SetAttributes(attribute.String("capi.reason", string(e.reason)))
			e.span.SetStatus(codes.Error, string(e.reason))
		}
	}
	e.span.End()
}

// injectTrace writes the event's trace context into the headers of its next
// message. An event that is not traced keeps its producer's.
func injectTrace(e *inFlight, into nats.Header) {
	producers := []string{header.TraceParent, header.TraceState, header.Baggage}
	if e.span.SpanContext().IsValid() {
		traceContext().Inject(trace.ContextWithSpan(context.Background(), e.span), carrier(into))
		producers = []string{header.Baggage}
	}
	for _, name := range producers {
		if value := carrier(e.message.Header).Get(name); value != "" && len(value) <= longHeader {
			into.Set(name, value)
		}
	}
}

// startPost begins the span of one request.
func (s *sender) startPost(ctx context.Context, lane lane, events []*inFlight) (context.Context, trace.Span) {
	var links []trace.Link
	for _, e := range events {
		if context := e.span.SpanContext(); context.IsValid() {
			links = append(links, trace.Link{SpanContext: context})
		}
	}
	return s.deps.Tracer.Start(ctx, "POST events", trace.WithNewRoot(),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(links...),
		trace.WithAttributes(
			attribute.String("http.request.method", "POST"),
			attribute.String("capi.dataset", lane.dataset),
			attribute.Int("messaging.batch.message_count", len(events)),
		))
}

// endPost ends the span of a request with its verdict.
func endPost(span trace.Span, answer *graph.Answer) {
	defer span.End()
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(
		attribute.String("capi.verdict", answer.Verdict.String()),
		attribute.Int("http.response.status_code", answer.Status),
		attribute.Int("capi.events_received", answer.Received),
		attribute.String("capi.fbtrace_id", answer.TraceID),
	)
	if answer.Verdict != graph.Accepted {
		span.SetStatus(codes.Error, answer.Reason())
	}
}
