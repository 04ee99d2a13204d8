package traces

import (
	"context"
	"os"
	"strconv"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Producer starts the spans of messages that are published to a stream.
type Producer struct {
	*Tracer

	name  string
	about []attribute.KeyValue
}

// Producer describes a stream that messages are published to, at the server of a
// URL.
func (t *Tracer) Producer(stream, url string) *Producer {
	return &Producer{Tracer: t, name: "publish " + stream, about: append([]attribute.KeyValue{
		semconv.MessagingSystemKey.String(System), semconv.MessagingDestinationTemplate(stream),
		semconv.MessagingOperationName("publish"), semconv.MessagingOperationTypeSend,
	}, addressOf(url)...)}
}

// Publication is a message on its way to a stream.
type Publication struct{ span trace.Span }

// Publish begins the span of a message that is about to be published, in the trace
// of ctx, and writes it into the message's headers. Where nobody traces, it only
// passes on what ctx has.
func (p *Producer) Publish(ctx context.Context, headers nats.Header, subject, dataset string) Publication {
	if p.off {
		Propagator().Inject(ctx, Carrier(headers))
		return Publication{}
	}
	about := appendTexts(append([]attribute.KeyValue(nil), p.about...),
		text{semconv.MessagingDestinationNameKey, subject}, text{DatasetKey, dataset})
	ctx, span := p.tracer.Start(ctx, p.name, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(about...))
	Propagator().Inject(ctx, Carrier(headers))
	return Publication{span: span}
}

// End ends the span: the message is stored under a number, or is not.
func (p Publication) End(sequence uint64, err error) {
	if p.span == nil {
		return
	}
	if err != nil {
		const notStored = "not_stored"
		p.span.SetAttributes(semconv.ErrorTypeKey.String(notStored))
		p.span.SetStatus(codes.Error, notStored)
	} else if sequence > 0 {
		p.span.SetAttributes(semconv.MessagingMessageID(strconv.FormatUint(sequence, 10)))
	}
	p.span.End()
}

// FromEnvironment continues the trace that TRACEPARENT and TRACESTATE name, as
// OpenTelemetry has it for commands.
func FromEnvironment(ctx context.Context) context.Context {
	return Propagator().Extract(ctx, propagation.MapCarrier{
		"traceparent": os.Getenv("TRACEPARENT"), "tracestate": os.Getenv("TRACESTATE"),
	})
}

// FromHeaders continues the trace that headers name.
func FromHeaders(ctx context.Context, headers nats.Header) context.Context {
	return Propagator().Extract(ctx, Carrier(headers))
}
