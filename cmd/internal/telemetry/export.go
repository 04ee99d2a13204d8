package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// exporter is the end of [exports] that batches come out of.
type exporter struct{ *exports }

// ExportSpans exports a batch, in pieces that a collector takes. What cannot be
// exported is counted; the error has been told then.
func (e exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	defer e.waiting.Add(-int64(len(spans)))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.stopped, cancel)()
	for len(spans) > 0 {
		piece := firstPiece(spans, mostBytes)
		if err := e.to.ExportSpans(ctx, piece); err != nil {
			e.failing.Store(true)
			e.refused.Add(int64(len(spans)))
			e.say(err)
			return nil
		}
		e.failing.Store(false)
		spans = spans[len(piece):]
	}
	return nil
}

// Shutdown ends the exporter.
func (e exporter) Shutdown(ctx context.Context) error { return e.to.Shutdown(ctx) }

// firstPiece is as many spans as fit into so many bytes, and one at least.
func firstPiece(spans []sdktrace.ReadOnlySpan, mostBytes int) []sdktrace.ReadOnlySpan {
	bytes := 0
	for i, span := range spans {
		if bytes += sizeOf(span); bytes > mostBytes && i > 0 {
			return spans[:i]
		}
	}
	return spans
}

// What a message in protobuf has beside its texts, generously.
const (
	spanBytes      = 128
	eventBytes     = 32
	linkBytes      = 48
	attributeBytes = 16
)

// sizeOf is about how many bytes a span has, and no fewer.
func sizeOf(span sdktrace.ReadOnlySpan) int {
	bytes := spanBytes + len(span.Name()) + len(span.Status().Description) + sizeOfAttributes(span.Attributes())
	if state := span.SpanContext().TraceState(); state.Len() > 0 {
		bytes += len(state.String())
	}
	for _, event := range span.Events() {
		bytes += eventBytes + len(event.Name) + sizeOfAttributes(event.Attributes)
	}
	for _, link := range span.Links() {
		bytes += linkBytes + sizeOfAttributes(link.Attributes)
		if state := link.SpanContext.TraceState(); state.Len() > 0 {
			bytes += len(state.String())
		}
	}
	return bytes
}

func sizeOfAttributes(attributes []attribute.KeyValue) (bytes int) {
	for _, kv := range attributes {
		bytes += attributeBytes + len(kv.Key)
		switch kv.Value.Type() {
		case attribute.STRING:
			bytes += len(kv.Value.AsString())
		case attribute.STRINGSLICE:
			for _, text := range kv.Value.AsStringSlice() {
				bytes += attributeBytes + len(text)
			}
		default: // numbers
		}
	}
	return bytes
}
