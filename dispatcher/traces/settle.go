package traces

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Settling is the acknowledgement of messages. It is for one goroutine; its zero
// value is of none.
type Settling struct {
	streams [streamsAtMost]settlement
}

// streamsAtMost is how many streams messages come from: the events' and the parked
// ones'.
const streamsAtMost = 2

// settlement is that of one stream.
type settlement struct {
	source   *Source
	messages int
	sampled  []Event // of each message that has any, the first
	span     trace.Span
}

// Add says that a message is about to be acknowledged, whose first sampled event is
// given, if it has one.
func (s *Settling) Add(source *Source, first Event) {
	for i := range s.streams {
		of := &s.streams[i]
		if of.source == nil {
			of.source = source
		}
		if of.source == source {
			of.messages++
			if first.Sampled() {
				of.sampled = append(of.sampled, first)
			}
			return
		}
	}
}

// Begin begins a span for each stream, among those of the first event.
func (s *Settling) Begin(ctx context.Context) {
	for i := range s.streams {
		if len(s.streams[i].sampled) > 0 {
			s.streams[i].begin(ctx)
		}
	}
}

func (s *settlement) begin(ctx context.Context) {
	links := make([]trace.Link, len(s.sampled))
	for i, e := range s.sampled {
		links[i] = linkTo(e.SpanContext())
	}
	about := append(slices.Clone(s.source.server.Load().about),
		semconv.MessagingOperationName("settle"), semconv.MessagingOperationTypeSettle)
	if s.messages > 1 {
		about = append(about, semconv.MessagingBatchMessageCount(s.messages))
	}
	_, s.span = s.source.tracer.Start(child(ctx, s.sampled[0].SpanContext()), s.source.settle,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(links...), trace.WithAttributes(about...))
}

// End ends the spans. failed says that an acknowledgement could not be sent.
func (s *Settling) End(failed error) {
	for i := range s.streams {
		span := s.streams[i].span
		if span == nil {
			continue
		}
		if failed != nil {
			const notSent = "not_sent"
			span.SetAttributes(semconv.ErrorTypeKey.String(notSent))
			span.SetStatus(codes.Error, notSent)
		}
		span.End()
	}
}
