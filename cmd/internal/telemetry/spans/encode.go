package spans

import (
	"math"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/encoding/protowire"
)

// The numbers of fields in OTLP, by message.
const (
	resourceOfResourceSpans = 1
	scopeSpansOfResource    = 2

	attributesOfResource = 1

	scopeOfScopeSpans  = 1
	spansOfScopeSpans  = 2
	schemaOfScopeSpans = 3

	nameOfScope = 1

	traceIDOfSpan    = 1
	spanIDOfSpan     = 2
	traceStateOfSpan = 3
	parentOfSpan     = 4
	nameOfSpan       = 5
	kindOfSpan       = 6
	startOfSpan      = 7
	endOfSpan        = 8
	attributesOfSpan = 9
	eventsOfSpan     = 11
	linksOfSpan      = 13
	droppedLinks     = 14
	statusOfSpan     = 15
	flagsOfSpan      = 16

	timeOfEvent       = 1
	nameOfEvent       = 2
	attributesOfEvent = 3

	traceIDOfLink    = 1
	spanIDOfLink     = 2
	traceStateOfLink = 3
	attributesOfLink = 4
	flagsOfLink      = 6

	messageOfStatus = 2
	codeOfStatus    = 3
	failed          = 2 // the code
	fine            = 1

	keyOfKeyValue   = 1
	valueOfKeyValue = 2

	stringOfValue = 1
	boolOfValue   = 2
	intOfValue    = 3
	doubleOfValue = 4
	arrayOfValue  = 5
	valuesOfArray = 1
)

func appendText(b []byte, field protowire.Number, text string) []byte {
	if text == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), text)
}

func appendBytes(b []byte, field protowire.Number, bytes []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), bytes)
}

func appendNumber(b []byte, field protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

func appendFixed64(b []byte, field protowire.Number, n uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), n)
}

func appendFlags(b []byte, field protowire.Number, span trace.SpanContext, remote bool) []byte {
	const knowsWhetherRemote, isRemote = 1 << 8, 1 << 9
	flags := uint32(span.TraceFlags()) | knowsWhetherRemote
	if remote {
		flags |= isRemote
	}
	return protowire.AppendFixed32(protowire.AppendTag(b, field, protowire.Fixed32Type), flags)
}

// within appends a message as a field. The length goes before it once it is known.
func within(b []byte, field protowire.Number, message func([]byte) []byte) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	from := len(b)
	b = message(b)
	length := len(b) - from
	size := protowire.SizeVarint(uint64(length))
	b = append(b, "          "[:size]...)
	copy(b[from+size:], b[from:from+length])
	protowire.AppendVarint(b[from:from], uint64(length))
	return b
}

func appendAttributes(b []byte, field protowire.Number, attributes []attribute.KeyValue) []byte {
	for i := range attributes {
		b = appendAttribute(b, field, &attributes[i])
	}
	return b
}

func appendAttribute(b []byte, field protowire.Number, kv *attribute.KeyValue) []byte {
	return within(b, field, func(b []byte) []byte {
		b = appendText(b, keyOfKeyValue, string(kv.Key))
		return within(b, valueOfKeyValue, func(b []byte) []byte { return appendValue(b, &kv.Value) })
	})
}

// appendValue appends what attributes are made of here; anything else as a text.
func appendValue(b []byte, value *attribute.Value) []byte {
	switch value.Type() {
	case attribute.BOOL:
		return appendNumber(b, boolOfValue, protowire.EncodeBool(value.AsBool()))
	case attribute.INT64:
		return appendNumber(b, intOfValue, uint64(value.AsInt64()))
	case attribute.FLOAT64:
		return appendFixed64(b, doubleOfValue, math.Float64bits(value.AsFloat64()))
	case attribute.STRINGSLICE:
		return within(b, arrayOfValue, func(b []byte) []byte {
			for _, text := range value.AsStringSlice() {
				b = within(b, valuesOfArray, func(b []byte) []byte { return appendString(b, text) })
			}
			return b
		})
	case attribute.STRING:
		return appendString(b, value.AsString())
	default:
		return appendString(b, value.String())
	}
}

// appendString appends a text as a value, even an empty one.
func appendString(b []byte, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, stringOfValue, protowire.BytesType), text)
}

func appendEvent(b []byte, name string, at int64, attributes []attribute.KeyValue) []byte {
	return within(b, eventsOfSpan, func(b []byte) []byte {
		b = appendText(appendFixed64(b, timeOfEvent, uint64(at)), nameOfEvent, name)
		return appendAttributes(b, attributesOfEvent, attributes)
	})
}

func appendLink(b []byte, link *trace.Link) []byte {
	return within(b, linksOfSpan, func(b []byte) []byte {
		id, span := link.SpanContext.TraceID(), link.SpanContext.SpanID()
		b = appendBytes(appendBytes(b, traceIDOfLink, id[:]), spanIDOfLink, span[:])
		if state := link.SpanContext.TraceState(); state.Len() > 0 {
			b = appendText(b, traceStateOfLink, state.String())
		}
		b = appendAttributes(b, attributesOfLink, link.Attributes)
		return appendFlags(b, flagsOfLink, link.SpanContext, link.SpanContext.IsRemote())
	})
}

func appendStatus(b []byte, code codes.Code, description string) []byte {
	switch code {
	case codes.Error:
		return within(b, statusOfSpan, func(b []byte) []byte {
			return appendNumber(appendText(b, messageOfStatus, description), codeOfStatus, failed)
		})
	case codes.Ok:
		return within(b, statusOfSpan, func(b []byte) []byte { return appendNumber(b, codeOfStatus, fine) })
	case codes.Unset:
	}
	return b
}
