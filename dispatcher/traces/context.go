package traces

import (
	"context"
	"strings"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/redact"
)

// LongHeader is what is too long for a header that goes on with an event.
const LongHeader = 8 << 10

// Propagator reads and writes W3C trace context. Baggage is carried along as it is
// and not read: nothing here asks for it, and what is not well-formed in it would be
// reported for each event, text and all.
func Propagator() propagation.TextMapPropagator { return propagation.TraceContext{} }

// Carrier lets trace context travel in a message's headers.
type Carrier nats.Header

// Get returns a header, however its producer has spelled it, unless it holds
// what looks like a secret: it would go into spans, parked events and letters.
func (c Carrier) Get(key string) string {
	value := c.get(key)
	if redact.HoldsToken(value) {
		return ""
	}
	return value
}

func (c Carrier) get(key string) string {
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

// Set sets a header.
func (c Carrier) Set(key, value string) { c[key] = []string{value} }

// Keys returns the names of all headers.
func (c Carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for key := range c {
		keys = append(keys, key)
	}
	return keys
}

// producers reads the ids that a producer gave, without its state: in the form that
// every producer writes today, without an allocation.
func producers(headers nats.Header) trace.SpanContext {
	const flags = len("00-") + 32 + len("-") + 16 + len("-")
	if len(headers) == 0 {
		return trace.SpanContext{}
	}
	value := Carrier(headers).get(header.TraceParent)
	if value == "" {
		return trace.SpanContext{}
	}
	if len(value) == flags+2 && value[:3] == "00-" && value[35] == '-' && value[52] == '-' {
		id, err := trace.TraceIDFromHex(value[3:35])
		span, err2 := trace.SpanIDFromHex(value[36:52])
		if err == nil && err2 == nil && (value[flags:] == "00" || value[flags:] == "01") {
			return trace.NewSpanContext(trace.SpanContextConfig{
				TraceID: id, SpanID: span, TraceFlags: trace.TraceFlags(value[flags+1] - '0'), Remote: true,
			})
		}
	}
	return trace.SpanContextFromContext(Propagator().Extract(context.Background(), Carrier(headers)))
}

// longState is what is too long of a producer's state for a span. All have to carry
// 512 bytes of it, and none more.
const longState = 512

// withState adds what a producer says of its trace beside the ids.
func withState(ids trace.SpanContext, headers nats.Header) trace.SpanContext {
	value := Carrier(headers).Get(header.TraceState)
	if value == "" || len(value) > longState {
		return ids
	}
	state, err := trace.ParseTraceState(value)
	if err != nil {
		return ids
	}
	return ids.WithTraceState(state)
}

// Inject writes the event's trace into the headers of its next message: that of its
// span, or else its producer's, or that it is not to be sampled when it comes back.
func (e Event) Inject(into, came nats.Header, keepBaggage bool) {
	switch {
	case e.span != nil:
		Propagator().Inject(trace.ContextWithSpan(context.Background(), e.span), Carrier(into))
	case e.unsampled.IsValid():
		into.Set(header.TraceParent, "00-"+e.unsampled.String()+"-"+e.unsampled.String()[:16]+"-00")
	default:
		carry(into, came, header.TraceParent)
		carry(into, came, header.TraceState)
	}
	if keepBaggage {
		carry(into, came, header.Baggage)
	}
}

func carry(into, came nats.Header, name string) {
	if value := Carrier(came).Get(name); value != "" && len(value) <= LongHeader {
		into.Set(name, value)
	}
}
