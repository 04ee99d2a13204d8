package dispatcher

import (
	"context"
	"strings"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

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
	if event.HoldsToken(value) {
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

// startSpan begins the span of an event in hand.
func (d *Dispatcher) startSpan(e *entry) {
	ctx := d.working
	if headers := e.message.Headers(); len(headers) > 0 {
		ctx = traceContext().Extract(ctx, carrier(headers))
	}
	_, e.span = d.deps.Tracer.Start(ctx, "process event", trace.WithSpanKind(trace.SpanKindConsumer))
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

// endSpan ends the span of an event with its outcome.
func endSpan(e *entry, o outcome) {
	if e.span.IsRecording() {
		e.span.SetAttributes(
			attribute.String("capi.outcome", o.String()),
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

// injectTrace writes the event's trace context, for whoever has it next. An
// event that is not traced keeps its producer's.
func injectTrace(e *entry, into nats.Header) {
	producers := []string{header.TraceParent, header.TraceState, header.Baggage}
	if e.span.SpanContext().IsValid() {
		traceContext().Inject(trace.ContextWithSpan(context.Background(), e.span), carrier(into))
		producers = []string{header.Baggage}
	}
	for _, name := range producers {
		if value := carrier(e.message.Headers()).Get(name); value != "" && len(value) <= longHeader {
			into.Set(name, value)
		}
	}
}

// startPost begins the span of one request.
func (d *Dispatcher) startPost(ctx context.Context, lane lane, entries []*entry) (context.Context, trace.Span) {
	var links []trace.Link
	for _, e := range entries {
		if context := e.span.SpanContext(); context.IsValid() {
			links = append(links, trace.Link{SpanContext: context})
		}
	}
	return d.deps.Tracer.Start(ctx, "POST events", trace.WithNewRoot(),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(links...),
		trace.WithAttributes(
			attribute.String("http.request.method", "POST"),
			attribute.String("capi.dataset", lane.dataset),
			attribute.Int("messaging.batch.message_count", len(entries)),
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
