// Package traces makes the spans that tell what becomes of an event, by the
// semantic conventions of OpenTelemetry for messaging and HTTP (version 1.43):
//
//	process CAPI                     an event, from its delivery until it is settled
//	├─ POST /v26.0/{dataset}/events  a request that it was in
//	│  └─ POST …                     half of it, where it was refused
//	└─ settle CAPI                   the acknowledgement of its message
//
// An event's span continues the trace of its producer. A request that carries
// several events is a child of the first whose trace is sampled; it links to each of
// them, and each links back. What happens to an event is an event of its span.
//
// An event whose trace is not sampled has no span at all, and costs no allocation:
// whether it is sampled is asked before anything is made. A request is sampled if
// one of its events is.
//
// Nothing of Meta's words and no value of an event is in a span but its id, which
// is hashed where personal data is, and its name if that is no one's.
package traces

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Version is that of the semantic conventions.
const Version = "1.43.0"

// System is how the conventions name NATS.
const System = "nats"

// Sampler decides whether the spans of a trace are to be recorded, from what its
// producer says, if it does, and from the trace's id. It says what the tracer's own
// sampler would say.
type Sampler func(parent trace.SpanContext, id trace.TraceID) bool

// Config is what a [Tracer] works with.
type Config struct {
	Tracer trace.Tracer
	// Sampled is asked first; nil samples everything.
	Sampled Sampler
	// EventNames may be shown, whatever they look like.
	EventNames []string
	// Private says that ids of events may be personal data.
	Private bool
	// Endpoint is the address of the API, without query; nil where it is not known.
	Endpoint func(dataset string) string
}

// Tracer starts spans. It is safe for concurrent use.
type Tracer struct {
	tracer   trace.Tracer
	sampled  Sampler
	off      bool // nobody takes spans
	names    map[string]bool
	private  bool
	endpoint func(dataset string) string
}

// New returns a tracer.
func New(cfg Config) *Tracer {
	_, off := cfg.Tracer.(noop.Tracer)
	t := &Tracer{
		tracer: cfg.Tracer, sampled: cfg.Sampled, off: off, names: make(map[string]bool, len(cfg.EventNames)),
		private: cfg.Private, endpoint: cfg.Endpoint,
	}
	if t.sampled == nil {
		t.sampled = func(trace.SpanContext, trace.TraceID) bool { return true }
	}
	for _, name := range cfg.EventNames {
		t.names[name] = true
	}
	return t
}

// NewTraceID returns the id of a trace that begins here.
func NewTraceID() (id trace.TraceID) {
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:8], rand.Uint64())
		binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id
}

// Source is a stream that messages come from, and the consumer that they come by.
type Source struct {
	*Tracer

	process, settle string // names of spans
	about           []attribute.KeyValue
	server          atomic.Pointer[server]
}

// server is where the stream is.
type server struct {
	url   string
	about []attribute.KeyValue // with what is known of the stream
	start Start                // of the span of an event from there
}

// Source describes a stream and its consumer.
func (t *Tracer) Source(stream, consumer string) *Source {
	s := &Source{Tracer: t, process: "process " + stream, settle: "settle " + stream, about: []attribute.KeyValue{
		semconv.MessagingSystemKey.String(System),
		semconv.MessagingConsumerGroupName(consumer),
		semconv.MessagingDestinationTemplate(stream),
	}}
	s.moved("")
	return s
}

// At says which server the messages come from now.
func (s *Source) At(url string) {
	if s.off || s.server.Load().url == url {
		return
	}
	s.moved(url)
}

func (s *Source) moved(url string) {
	about := append(slices.Clone(s.about), addressOf(url)...)
	s.server.Store(&server{url: url, about: about, start: s.prepare(s.process, trace.SpanKindConsumer, append(about,
		semconv.MessagingOperationName("process"), semconv.MessagingOperationTypeProcess))})
}

// Start starts a span below another, or in a trace that has none yet, with the
// attributes that are its own.
type Start func(parent trace.SpanContext, own []attribute.KeyValue) trace.Span

// Preparer is a tracer that has what many spans have in common ready.
type Preparer interface {
	Prepare(name string, kind trace.SpanKind, common []attribute.KeyValue) Start
}

// prepare returns what starts spans that have much in common. A sampler sees that,
// and what is its own besides.
func (t *Tracer) prepare(name string, kind trace.SpanKind, common []attribute.KeyValue) Start {
	if ready, ok := t.tracer.(Preparer); ok {
		return ready.Prepare(name, kind, common)
	}
	of, always := trace.WithSpanKind(kind), trace.WithAttributes(common...)
	return func(parent trace.SpanContext, own []attribute.KeyValue) trace.Span {
		ctx := trace.ContextWithSpanContext(context.Background(), parent)
		_, span := t.tracer.Start(ctx, name, of, always, trace.WithAttributes(own...))
		return span
	}
}

// addressOf is the host and the port of a URL, as attributes.
func addressOf(address string) []attribute.KeyValue {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil
	}
	about := []attribute.KeyValue{semconv.ServerAddress(u.Hostname())}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80", "nats": "4222", "tls": "4222"}[u.Scheme]
	}
	if n, err := strconv.Atoi(port); err == nil {
		about = append(about, semconv.ServerPort(n))
	}
	return about
}

// child puts a span into a context, to be the parent of what is started there.
func child(ctx context.Context, of trace.SpanContext) context.Context {
	return trace.ContextWithSpanContext(ctx, of.WithTraceState(trace.TraceState{}))
}

// linkTo is a link without the state that a producer gave its trace: it may be
// kilobytes, and a request has a thousand links.
func linkTo(span trace.SpanContext) trace.Link {
	return trace.Link{SpanContext: span.WithTraceState(trace.TraceState{})}
}
