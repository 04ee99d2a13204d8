// Package spans is a tracer for spans in great numbers. What is said of a span is
// encoded as it is said, and what has ended waits as bytes, so that a span leaves
// nothing behind for the garbage collector: it costs a quarter of what it costs with
// OpenTelemetry's SDK, which is made for anything that there may be.
//
// It does what package traces needs, and less than the SDK: an attribute is set once,
// and OTEL_SPAN_* and OTEL_ATTRIBUTE_* limit nothing, for no span has more than a
// thousand links, some twenty attributes and a few events.
package spans

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/traces"
)

// Tracer starts spans, and has a [Queue] export them.
type Tracer struct {
	embedded.Tracer

	sampled traces.Sampler
	queue   *Queue
	buffers sync.Pool // of *[]byte
}

// usualBytes is what the span of an event has.
const usualBytes = 704

// NewTracer returns a tracer.
func NewTracer(sampled traces.Sampler, queue *Queue) *Tracer {
	return &Tracer{sampled: sampled, queue: queue, buffers: sync.Pool{New: func() any {
		b := make([]byte, 0, usualBytes)
		return &b
	}}}
}

// Start begins a span.
func (t *Tracer) Start(
	ctx context.Context, name string, options ...trace.SpanStartOption,
) (context.Context, trace.Span) {
	config := trace.NewSpanStartConfig(options...)
	var parent trace.SpanContext
	if !config.NewRoot() {
		parent = trace.SpanContextFromContext(ctx)
	}
	ids := trace.SpanContextConfig{
		TraceID: parent.TraceID(), SpanID: newSpanID(), TraceFlags: parent.TraceFlags(), TraceState: parent.TraceState(),
	}
	if !ids.TraceID.IsValid() {
		ids.TraceID = traces.NewTraceID()
	}
	if !t.sampled(parent, ids.TraceID) {
		ids.TraceFlags &^= trace.FlagsSampled
		ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(ids))
		return ctx, trace.SpanFromContext(ctx)
	}
	ids.TraceFlags |= trace.FlagsSampled
	s := t.begin(trace.NewSpanContext(ids), parent, name, config.Timestamp())
	b := appendNumber(*s.buffer, kindOfSpan, uint64(trace.ValidateSpanKind(config.SpanKind())))
	*s.buffer = appendAttributes(b, attributesOfSpan, config.Attributes())
	for _, link := range config.Links() {
		s.addLink(&link)
	}
	return trace.ContextWithSpan(ctx, s), s
}

// Prepare returns what starts spans that have a name, a kind and attributes in
// common. All of them are recorded: whoever uses it asks the sampler.
func (t *Tracer) Prepare(name string, kind trace.SpanKind, common []attribute.KeyValue) traces.Start {
	always := appendNumber(nil, kindOfSpan, uint64(trace.ValidateSpanKind(kind)))
	always = appendAttributes(always, attributesOfSpan, common)
	return func(parent trace.SpanContext, own []attribute.KeyValue) trace.Span {
		ids := trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: parent.TraceID(), SpanID: newSpanID(), TraceState: parent.TraceState(),
			TraceFlags: parent.TraceFlags() | trace.FlagsSampled,
		})
		s := t.begin(ids, parent, name, time.Time{})
		*s.buffer = appendAttributes(append(*s.buffer, always...), attributesOfSpan, own)
		return s
	}
}

func (t *Tracer) begin(ids, parent trace.SpanContext, name string, start time.Time) *span {
	if start.IsZero() {
		start = time.Now()
	}
	s := &span{tracer: t, ids: ids, name: name, start: start, buffer: t.buffers.Get().(*[]byte)}
	id, spanID := ids.TraceID(), ids.SpanID()
	b := appendBytes(appendBytes((*s.buffer)[:0], traceIDOfSpan, id[:]), spanIDOfSpan, spanID[:])
	if state := ids.TraceState(); state.Len() > 0 {
		b = appendText(b, traceStateOfSpan, state.String())
	}
	if above := parent.SpanID(); above.IsValid() {
		b = appendBytes(b, parentOfSpan, above[:])
	}
	b = appendFixed64(b, startOfSpan, uint64(start.UnixNano()))
	*s.buffer = appendFlags(b, flagsOfSpan, ids, parent.IsRemote())
	return s
}

func newSpanID() (id trace.SpanID) {
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}

// mostLinks is how many links a span has: a request has one to each of its events.
const mostLinks = 1000

// span is one that is recorded. It is safe for concurrent use.
type span struct {
	embedded.Span

	tracer *Tracer
	ids    trace.SpanContext
	start  time.Time

	mu          sync.Mutex
	buffer      *[]byte // what has been said of it, in protobuf; nil once it has ended
	name        string
	links       int // also those that were too many
	code        codes.Code
	description string
}

// End ends the span.
func (s *span) End(options ...trace.SpanEndOption) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buffer == nil {
		return
	}
	end := s.start.Add(time.Since(s.start))
	if len(options) > 0 {
		if config := trace.NewSpanEndConfig(options...); !config.Timestamp().IsZero() {
			end = config.Timestamp()
		}
	}
	b := appendFixed64(appendText(*s.buffer, nameOfSpan, s.name), endOfSpan, uint64(end.UnixNano()))
	if s.links > mostLinks {
		b = appendNumber(b, droppedLinks, uint64(s.links-mostLinks))
	}
	*s.buffer = appendStatus(b, s.code, s.description)
	s.tracer.queue.add(*s.buffer)
	s.tracer.release(s.buffer)
	s.buffer = nil
}

// release keeps a buffer for another span, unless it has grown large.
func (t *Tracer) release(buffer *[]byte) {
	const most = 8 << 10
	if cap(*buffer) <= most {
		t.buffers.Put(buffer)
	}
}

// say encodes something, unless the span has ended.
func (s *span) say(encode func([]byte) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buffer != nil {
		*s.buffer = encode(*s.buffer)
	}
}

// SetAttributes sets attributes, each for the first time.
func (s *span) SetAttributes(attributes ...attribute.KeyValue) {
	s.say(func(b []byte) []byte { return appendAttributes(b, attributesOfSpan, attributes) })
}

// AddEvent notes what happens.
func (s *span) AddEvent(name string, options ...trace.EventOption) {
	config := trace.NewEventConfig(options...)
	s.say(func(b []byte) []byte { return appendEvent(b, name, config.Timestamp().UnixNano(), config.Attributes()) })
}

// Note notes what happens, with one text; of no name, there is none.
func (s *span) Note(name string, key attribute.Key, value string) {
	at := time.Now().UnixNano()
	s.say(func(b []byte) []byte {
		if key == "" {
			return appendEvent(b, name, at, nil)
		}
		one := [...]attribute.KeyValue{key.String(value)}
		return appendEvent(b, name, at, one[:])
	})
}

// AddLink links to another span.
func (s *span) AddLink(link trace.Link) { s.addLink(&link) }

func (s *span) addLink(link *trace.Link) {
	s.say(func(b []byte) []byte {
		if s.links++; s.links > mostLinks {
			return b
		}
		return appendLink(b, link)
	})
}

// SetStatus says whether the span has failed, unless it is said to be fine.
func (s *span) SetStatus(code codes.Code, description string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if code >= s.code {
		s.code, s.description = code, description
	}
}

// SetName names the span anew.
func (s *span) SetName(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.name = name
}

// RecordError is not used: errors may quote what is not to be seen.
func (s *span) RecordError(error, ...trace.EventOption) {}

// SpanContext returns the span's ids.
func (s *span) SpanContext() trace.SpanContext { return s.ids }

// IsRecording reports whether the span has not ended.
func (s *span) IsRecording() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buffer != nil
}

// TracerProvider has no other tracers.
func (s *span) TracerProvider() trace.TracerProvider { return noop.NewTracerProvider() }
