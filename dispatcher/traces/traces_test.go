package traces_test

import (
	"context"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/traces"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

const (
	sampledParent   = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	unsampledParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
)

// recorder is a source whose spans are kept.
func recorder(t *testing.T, change func(*traces.Config)) (*traces.Source, *tracetest.InMemoryExporter) {
	t.Helper()
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	cfg := traces.Config{
		Tracer:   provider.Tracer("test"),
		Endpoint: func(dataset string) string { return "https://graph.example/v26.0/" + dataset + "/events" },
	}
	if change != nil {
		change(&cfg)
	}
	return traces.New(cfg).Source("CAPI", "worker"), spans
}

func headers(traceparent string) nats.Header { return nats.Header{"traceparent": {traceparent}} }

// parentBased is the usual sampler, of no trace that begins here.
func parentBased(parent trace.SpanContext, _ trace.TraceID) bool { return parent.IsSampled() }

// What is not sampled costs no allocation: neither with a producer that says so, nor
// without one.
func TestAnEventThatIsNotSampledCostsNothing(t *testing.T) {
	source, spans := recorder(t, func(cfg *traces.Config) { cfg.Sampled = parentBased })
	source.At("nats://localhost:4222")
	off := traces.New(traces.Config{Tracer: noop.Tracer{}}).Source("CAPI", "worker")
	repaired, answer, ctx := []string{"/event_time"}, &graph.Answer{}, t.Context()
	for name, tt := range map[string]struct {
		source  *traces.Source
		headers nats.Header
	}{
		"its producer says so": {source, nats.Header{"Nats-Msg-Id": {"1"}, "Traceparent": {unsampledParent}}},
		"it begins here":       {source, nil},
		"nobody traces":        {off, headers(sampledParent)},
	} {
		requests := tt.source.Requests()
		cost := testing.AllocsPerRun(1000, func() {
			e := tt.source.Start(traces.Message{Headers: tt.headers, Subject: "capi.events.1", Sequence: 7},
				traces.About{Dataset: "1", ID: "id", Name: "Purchase", Channel: "whatsapp"})
			e.Repair(repaired)
			e.LookUp("found")
			e.Wake("paused", true)
			e.Hold()
			e.Claim("fresh")
			requests.Begin(ctx, traces.Post{Dataset: "1", Events: 1}, nil)
			requests.End(answer)
			e.Park("throttled")
			e.Bury("refused", "", 1)
			e.End(traces.Ending{Outcome: "accepted", Attempts: 1})
			var settling traces.Settling
			settling.Add(tt.source, e)
			settling.Begin(ctx)
			settling.End(nil)
		})
		require.Zero(t, cost, name)
	}
	require.Empty(t, spans.GetSpans())
}

// A trace that begins here has the id that the sampler was asked about, and no
// parent.
func TestATraceThatBeginsHereIsTheOneThatWasSampled(t *testing.T) {
	t.Parallel()
	var asked trace.TraceID
	source, spans := recorder(t, func(cfg *traces.Config) {
		cfg.Sampled = func(parent trace.SpanContext, id trace.TraceID) bool {
			asked = id
			return !parent.IsValid()
		}
	})
	source.Start(traces.Message{}, traces.About{}).End(traces.Ending{})
	require.True(t, asked.IsValid())
	require.Equal(t, asked, spans.GetSpans()[0].SpanContext.TraceID())
	require.False(t, spans.GetSpans()[0].Parent.SpanID().IsValid())
}

// What a producer says is read as OpenTelemetry reads it, in whatever form.
func TestEveryFormOfATraceparent(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		sampledParent:                   "sampled",
		unsampledParent:                 "not sampled",
		sampledParent + "-new":          "begins here", // version 00 has no more than that
		"01" + sampledParent[2:] + "-x": "sampled",     // later versions may have
		"ff" + sampledParent[2:]:        "begins here",
		strings.ToUpper(sampledParent):  "begins here",
		strings.Replace(sampledParent, "00f067aa0ba902b7", "0000000000000000", 1): "begins here",
		sampledParent[:len(sampledParent)-2] + "03":                               "sampled",
		"": "begins here",
	} {
		got := "begins here"
		source, _ := recorder(t, func(cfg *traces.Config) {
			cfg.Sampled = func(parent trace.SpanContext, _ trace.TraceID) bool {
				switch {
				case parent.IsValid() && parent.IsSampled():
					got = "sampled"
				case parent.IsValid():
					got = "not sampled"
				}
				return false
			}
		})
		source.Start(traces.Message{Headers: headers(value)}, traces.About{})
		require.Equal(t, want, got, value)
	}
}

// A span has no name of an event that may be somebody's, and no id that is not to be
// seen.
func TestNothingPersonalIsInASpan(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, private, open string }{
		{"Purchase", "Purchase", "Purchase"},
		{"CourseStarted", traces.OtherName, "CourseStarted"},
		{"anna@example.com", traces.OtherName, traces.OtherName},
		{"+49 170 1234567", traces.OtherName, traces.OtherName},
		{"Anna Schmidt", traces.OtherName, traces.OtherName},
		{"EAAB" + strings.Repeat("x", 100), traces.OtherName, traces.OtherName},
		{"", "", ""},
	} {
		for private, want := range map[bool]string{true: tt.private, false: tt.open} {
			source, spans := recorder(t, func(cfg *traces.Config) {
				cfg.EventNames, cfg.Private = []string{"Purchase"}, private
			})
			source.Start(traces.Message{}, traces.About{Name: tt.name, ID: "order-1"}).End(traces.Ending{})
			span := spans.GetSpans()[0]
			require.Equal(t, want, valueOf(span, traces.EventNameKey), tt.name)
			if private {
				require.Regexp(t, "^sha256-[0-9a-f]{64}$", valueOf(span, traces.EventIDKey))
			} else {
				require.Equal(t, "order-1", valueOf(span, traces.EventIDKey))
			}
		}
	}
}

func valueOf(span tracetest.SpanStub, key attribute.Key) string {
	for _, kv := range span.Attributes {
		if kv.Key == key {
			return kv.Value.String()
		}
	}
	return ""
}

// What a producer says of its trace goes on as it came, if it is not too long for a
// header, and holds no secret; its baggage only where it may.
func TestWhatGoesOnInHeaders(t *testing.T) {
	t.Parallel()
	source, _ := recorder(t, func(cfg *traces.Config) { cfg.Sampled = parentBased })
	came := nats.Header{"Traceparent": {unsampledParent}, "TraceState": {"vendor=1"}, "Baggage": {"user=7"}}
	e := source.Start(traces.Message{Headers: came}, traces.About{})
	into := nats.Header{}
	e.Inject(into, came, true)
	require.Equal(t, nats.Header{"traceparent": {unsampledParent}, "tracestate": {"vendor=1"}, "baggage": {"user=7"}}, into)

	into = nats.Header{}
	e.Inject(into, came, false)
	require.NotContains(t, into, "baggage")

	came["TraceState"] = []string{"a=" + strings.Repeat("x", traces.LongHeader)}
	came["Baggage"] = []string{"token=EAAB" + strings.Repeat("x", 100)}
	into = nats.Header{}
	e.Inject(into, came, true)
	require.Equal(t, nats.Header{"traceparent": {unsampledParent}}, into)
}

// A request of a thousand events whose producers say much about their traces is no
// larger for it.
func TestLinksRepeatNothing(t *testing.T) {
	t.Parallel()
	source, spans := recorder(t, nil)
	came := nats.Header{"traceparent": {sampledParent}, "tracestate": {"vendor=" + strings.Repeat("x", 200)}}
	e := source.Start(traces.Message{Headers: came}, traces.About{})
	requests := source.Requests()
	requests.Begin(context.Background(), traces.Post{Dataset: "1", Events: 1}, []traces.Event{e})
	requests.End(&graph.Answer{Verdict: graph.Accepted, Status: 200, Received: 1})
	e.End(traces.Ending{Outcome: "accepted"})
	into := nats.Header{}
	e.Inject(into, came, true)
	require.NotEmpty(t, into.Get("tracestate"), "it is the event's")
	for _, span := range spans.GetSpans() {
		require.Len(t, span.Links, 1)
		require.Zero(t, span.Links[0].SpanContext.TraceState().Len())
	}
	require.Zero(t, spans.GetSpans()[0].SpanContext.TraceState().Len(), "nor does the request")
}

// The path to a refused half is told by depth and parent.
func TestHalves(t *testing.T) {
	t.Parallel()
	source, spans := recorder(t, nil)
	e := source.Start(traces.Message{}, traces.About{})
	requests := source.Requests()
	post := func(verdict graph.Verdict) {
		requests.Begin(t.Context(), traces.Post{Dataset: "1", Events: 1}, []traces.Event{e})
		requests.End(&graph.Answer{Verdict: verdict, Status: 200})
	}
	post(graph.Refused) // 0: the whole
	end := requests.Halve()
	post(graph.Accepted) // 1: its first half
	further := requests.Halve()
	post(graph.Refused) // 2: half of the second
	deeper := requests.Halve()
	post(graph.Accepted) // 3
	deeper()
	further()
	end()
	post(graph.Accepted) // 4: something else
	var parents []int
	got := spans.GetSpans()
	for _, span := range got {
		parent := -1
		for i := range got {
			if got[i].SpanContext.SpanID() == span.Parent.SpanID() {
				parent = i
			}
		}
		parents = append(parents, parent)
	}
	require.Equal(t, []int{-1, 0, 0, 2, -1}, parents)
	for i, depth := range []string{"", "1", "2", "3", ""} {
		require.Equal(t, depth, valueOf(got[i], traces.DepthKey))
	}
}
