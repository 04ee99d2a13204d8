package spans_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/telemetry/spans"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// collector reads what it is given, as one behind a network would.
type collector struct {
	mu       sync.Mutex
	requests []*tracepb.ResourceSpans
	err      error
}

func (c *collector) UploadTraces(_ context.Context, resources []*tracepb.ResourceSpans) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	for _, resource := range resources {
		wire, err := proto.Marshal(resource)
		if err != nil {
			return err
		}
		read := new(tracepb.ResourceSpans)
		if err := proto.Unmarshal(wire, read); err != nil {
			return err
		}
		if unknown := read.ProtoReflect().GetUnknown(); len(unknown) > 0 {
			return fmt.Errorf("there is more than OTLP has: %x", unknown)
		}
		c.requests = append(c.requests, read)
	}
	return nil
}

func (c *collector) spans() (all []*tracepb.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.requests {
		all = append(all, r.GetScopeSpans()[0].GetSpans()...)
	}
	return all
}

func config(c *collector) spans.Config {
	return spans.Config{
		Client: c, Resource: []attribute.KeyValue{attribute.String("service.name", "x"), attribute.Int("process.pid", 7)},
		Scope: "scope", SchemaURL: "https://opentelemetry.io/schemas/1.43.0",
		MostWaiting: 10_000, MostAtOnce: 1000, Delay: time.Hour, Timeout: time.Minute, Lost: func(int, error) {},
	}
}

func sampled(trace.SpanContext, trace.TraceID) bool { return true }

func end(t *testing.T, q *spans.Queue) {
	t.Helper()
	require.NoError(t, q.Shutdown(context.WithoutCancel(t.Context())))
}

func values(attributes []*common.KeyValue) map[string]any {
	all := make(map[string]any)
	for _, kv := range attributes {
		switch v := kv.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			all[kv.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			all[kv.GetKey()] = v.IntValue
		case *common.AnyValue_BoolValue:
			all[kv.GetKey()] = v.BoolValue
		case *common.AnyValue_DoubleValue:
			all[kv.GetKey()] = v.DoubleValue
		case *common.AnyValue_ArrayValue:
			var texts []string
			for _, item := range v.ArrayValue.GetValues() {
				texts = append(texts, item.GetStringValue())
			}
			all[kv.GetKey()] = texts
		}
	}
	return all
}

// A collector reads what has been said of a span.
func TestASpanIsReadAsItWasSaid(t *testing.T) {
	t.Parallel()
	c := &collector{}
	q := spans.NewQueue(config(c))
	tracer := spans.NewTracer(sampled, q)
	state, err := trace.ParseTraceState("vendor=1")
	require.NoError(t, err)
	parent := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2}, SpanID: trace.SpanID{3}, TraceFlags: 1, TraceState: state, Remote: true,
	})
	long := strings.Repeat("x", 5000)
	began := time.Unix(1_800_000_000, 7)
	ctx, span := tracer.Start(trace.ContextWithSpanContext(t.Context(), parent), "process CAPI",
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(began), trace.WithAttributes(
			attribute.String("text", "a"), attribute.String("none", ""), attribute.Int("number", -3), attribute.Bool("yes", true),
			attribute.Float64("half", 0.5), attribute.StringSlice("list", []string{"a", "", "b"}), attribute.String("long", long)))
	require.True(t, span.IsRecording())
	require.Equal(t, span, trace.SpanFromContext(ctx))
	at := time.Unix(1_800_000_001, 0)
	span.AddEvent("capi.claim", trace.WithTimestamp(at), trace.WithAttributes(attribute.String("state", "fresh")))
	span.(interface {
		Note(string, attribute.Key, string)
	}).Note("capi.hold", "", "")
	for range 1003 {
		span.AddLink(trace.Link{SpanContext: parent, Attributes: []attribute.KeyValue{attribute.Int("n", 1)}})
	}
	span.SetAttributes(attribute.String("outcome", "dead_lettered"))
	span.SetStatus(codes.Error, "refused")
	span.End(trace.WithTimestamp(at))
	span.End()
	span.SetAttributes(attribute.String("late", "x"))
	require.False(t, span.IsRecording())
	end(t, q)

	require.Len(t, c.requests, 1)
	request := c.requests[0]
	require.Equal(t, map[string]any{"service.name": "x", "process.pid": int64(7)}, values(request.GetResource().GetAttributes()))
	require.Equal(t, "scope", request.GetScopeSpans()[0].GetScope().GetName())
	require.Equal(t, "https://opentelemetry.io/schemas/1.43.0", request.GetScopeSpans()[0].GetSchemaUrl())
	got := c.spans()[0]
	id, spanID := parent.TraceID(), parent.SpanID()
	require.Equal(t, id[:], got.GetTraceId())
	require.Equal(t, span.SpanContext().SpanID().String(), hex.EncodeToString(got.GetSpanId()))
	require.Equal(t, spanID[:], got.GetParentSpanId())
	require.Equal(t, "vendor=1", got.GetTraceState())
	require.Equal(t, "process CAPI", got.GetName())
	require.Equal(t, tracepb.Span_SPAN_KIND_CONSUMER, got.GetKind())
	require.EqualValues(t, 0x301, got.GetFlags(), "sampled, of a remote parent")
	require.EqualValues(t, began.UnixNano(), got.GetStartTimeUnixNano())
	require.EqualValues(t, at.UnixNano(), got.GetEndTimeUnixNano())
	require.Equal(t, map[string]any{
		"text": "a", "none": "", "number": int64(-3), "yes": true, "half": 0.5, "list": []string{"a", "", "b"}, "long": long,
		"outcome": "dead_lettered",
	}, values(got.GetAttributes()))
	require.Len(t, got.GetEvents(), 2)
	require.Equal(t, "capi.claim", got.GetEvents()[0].GetName())
	require.EqualValues(t, at.UnixNano(), got.GetEvents()[0].GetTimeUnixNano())
	require.Equal(t, map[string]any{"state": "fresh"}, values(got.GetEvents()[0].GetAttributes()))
	require.Empty(t, got.GetEvents()[1].GetAttributes())
	require.Len(t, got.GetLinks(), 1000)
	require.EqualValues(t, 3, got.GetDroppedLinksCount())
	require.Equal(t, spanID[:], got.GetLinks()[999].GetSpanId())
	require.Equal(t, map[string]any{"n": int64(1)}, values(got.GetLinks()[999].GetAttributes()))
	require.Equal(t, tracepb.Status_STATUS_CODE_ERROR, got.GetStatus().GetCode())
	require.Equal(t, "refused", got.GetStatus().GetMessage())
}

// What is prepared is said of each span, and each has its own besides.
func TestPreparedSpans(t *testing.T) {
	t.Parallel()
	c := &collector{}
	q := spans.NewQueue(config(c))
	start := spans.NewTracer(sampled, q).Prepare("process CAPI", trace.SpanKindConsumer,
		[]attribute.KeyValue{attribute.String("system", "nats")})
	const many = 2500
	for i := range many {
		root := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{0: 1, 14: byte(i >> 8), 15: byte(i)}})
		span := start(root, []attribute.KeyValue{attribute.Int("i", i)})
		require.True(t, span.SpanContext().IsSampled())
		span.End()
	}
	end(t, q)
	require.Len(t, c.spans(), many)
	for i, span := range c.spans() {
		require.Equal(t, map[string]any{"system": "nats", "i": int64(i)}, values(span.GetAttributes()))
		require.Equal(t, byte(i), span.GetTraceId()[15])
		require.Empty(t, span.GetParentSpanId(), "it is the first of its trace")
	}
	for _, request := range c.requests {
		require.LessOrEqual(t, len(request.GetScopeSpans()[0].GetSpans()), 1000)
	}
}

// A span that is not sampled hands on that it is not.
func TestASpanThatIsNotSampled(t *testing.T) {
	t.Parallel()
	c := &collector{}
	q := spans.NewQueue(config(c))
	tracer := spans.NewTracer(func(trace.SpanContext, trace.TraceID) bool { return false }, q)
	ctx, span := tracer.Start(t.Context(), "x")
	require.False(t, span.IsRecording())
	require.True(t, trace.SpanContextFromContext(ctx).IsValid())
	require.False(t, trace.SpanContextFromContext(ctx).IsSampled())
	span.End()
	end(t, q)
	require.Empty(t, c.spans())
}

// No more wait than may, what is lost is told, and there is room again afterwards.
func TestNoMoreWaitThanMay(t *testing.T) {
	t.Parallel()
	c := &collector{err: errors.New("away")}
	cfg := config(c)
	cfg.MostWaiting, cfg.MostAtOnce = 10, 10
	var mu sync.Mutex
	lost := make(map[error]int)
	cfg.Lost = func(n int, why error) {
		mu.Lock()
		defer mu.Unlock()
		lost[why] += n
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return lost[spans.ErrFull] + lost[c.err]
	}
	q := spans.NewQueue(cfg)
	tracer := spans.NewTracer(sampled, q)
	const many = 1000
	for range many {
		_, span := tracer.Start(t.Context(), "x")
		span.End()
	}
	require.Eventually(t, func() bool { return count() == many }, time.Minute, time.Millisecond, "every span is accounted for")
	require.GreaterOrEqual(t, lost[c.err], 10)
	began := time.Now()
	_, span := tracer.Start(t.Context(), "x")
	span.End()
	end(t, q)
	require.Less(t, time.Since(began), time.Minute, "what nobody takes delays no end")
}
