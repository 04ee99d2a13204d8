package telemetry_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/telemetry"
)

// backend takes spans over HTTP, as a collector does.
type backend struct {
	*httptest.Server

	mu      sync.Mutex
	spans   int
	links   int
	largest int // bytes of a request
	status  atomic.Int64
	hang    chan struct{} // if it is there, nothing is answered until it is closed
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{}
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", b.URL+"/v1/traces")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	return b
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if b.hang != nil {
		<-b.hang
	}
	body, _ := io.ReadAll(r.Body)
	var request collector.ExportTraceServiceRequest
	if proto.Unmarshal(body, &request) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if status := int(b.status.Load()); status != 0 {
		w.WriteHeader(status)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.largest = max(b.largest, len(body))
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			b.spans += len(scope.GetSpans())
			for _, span := range scope.GetSpans() {
				b.links += len(span.GetLinks())
			}
		}
	}
}

func (b *backend) received() (spans, links, largest int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spans, b.links, b.largest
}

func setup(t *testing.T) *telemetry.Telemetry {
	t.Helper()
	observed, err := telemetry.Setup(t.Context(), "test", 2000)
	require.NoError(t, err)
	return observed
}

// said are the errors that telemetry has.
func said(t *testing.T) (list func() []string) {
	t.Helper()
	var mu sync.Mutex
	var texts []string
	before := otel.GetErrorHandler()
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		mu.Lock()
		defer mu.Unlock()
		texts = append(texts, err.Error())
	}))
	t.Cleanup(func() { otel.SetErrorHandler(before) })
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), texts...)
	}
}

func scrape(t *testing.T, observed *telemetry.Telemetry) string {
	t.Helper()
	answer := httptest.NewRecorder()
	observed.Metrics.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	return answer.Body.String()
}

// A collector takes 4 MiB at once: what is more goes in pieces, and all of it
// arrives.
func TestNoExportIsLargerThanACollectorTakes(t *testing.T) {
	b := newBackend(t)
	observed := setup(t)
	links := make([]trace.Link, 1000)
	for i := range links {
		links[i] = trace.Link{SpanContext: trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1: byte(i), 2: byte(i >> 8), 15: 1}, SpanID: trace.SpanID{7: 1},
		})}
	}
	const many = 400
	for range many {
		_, span := observed.Tracer.Start(t.Context(), "POST", trace.WithLinks(links...))
		span.End()
	}
	require.NoError(t, observed.Shutdown(context.WithoutCancel(t.Context())))
	spans, linked, largest := b.received()
	require.Equal(t, many, spans)
	require.Equal(t, many*len(links), linked)
	require.LessOrEqual(t, largest, 4<<20)
	require.Greater(t, largest, 1<<20, "no more pieces than have to be")
}

// Spans that a collector does not take are counted, and it is said once. Whoever
// ends them does not wait, and no more wait than may.
func TestLostSpansAreCountedAndSaidOnce(t *testing.T) {
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "100")
	texts, b := said(t), newBackend(t)
	b.hang = make(chan struct{})
	observed := setup(t)
	require.Contains(t, scrape(t, observed), `capi_spans_lost_total{reason="queue_full"} 0`)
	const many = 1000
	for range many {
		_, span := observed.Tracer.Start(t.Context(), "process")
		span.End()
	}
	require.Contains(t, scrape(t, observed), fmt.Sprintf(`capi_spans_lost_total{reason="queue_full"} %d`, many-100))
	b.status.Store(http.StatusBadRequest)
	close(b.hang)
	require.Eventually(t, func() bool {
		return strings.Contains(scrape(t, observed), `capi_spans_lost_total{reason="export"} 100`)
	}, time.Minute, time.Millisecond)
	require.Len(t, texts(), 1)
	require.Contains(t, texts()[0], "capi_spans_lost_total")

	b.status.Store(0)
	_, span := observed.Tracer.Start(t.Context(), "process")
	span.End()
	require.Eventually(t, func() bool { spans, _, _ := b.received(); return spans == 1 }, time.Minute, time.Millisecond,
		"it goes on as soon as the collector takes them")
	require.NoError(t, observed.Shutdown(context.WithoutCancel(t.Context())))
}

// A collector that is away, or hangs, keeps no worker from ending.
func TestADeadCollectorDelaysNoStop(t *testing.T) {
	texts := said(t)
	t.Run("away", func(t *testing.T) {
		b := newBackend(t)
		b.status.Store(http.StatusBadRequest)
		observed := setup(t)
		_, span := observed.Tracer.Start(t.Context(), "process")
		span.End()
		require.Eventually(t, func() bool { return len(texts()) == 1 }, time.Minute, time.Millisecond)
		b.Close()
		for range 5000 {
			_, span := observed.Tracer.Start(t.Context(), "process")
			span.End()
		}
		began := time.Now()
		_ = observed.Shutdown(context.WithoutCancel(t.Context()))
		require.Less(t, time.Since(began), 2*time.Second)
	})
	t.Run("hanging", func(t *testing.T) {
		b := newBackend(t)
		b.hang = make(chan struct{})
		defer close(b.hang)
		observed := setup(t)
		_, span := observed.Tracer.Start(t.Context(), "process")
		span.End()
		began := time.Now()
		require.Error(t, observed.Shutdown(context.WithoutCancel(t.Context())))
		require.Less(t, time.Since(began), 10*time.Second)
	})
}

// The sampler is the one that the SDK would have, from the same variables.
func TestTheSamplerIsThatOfTheSDK(t *testing.T) {
	for _, kind := range []string{
		"", "always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off",
		"parentbased_traceidratio", "PARENTBASED_TraceIDRatio ", "jaeger_remote",
	} {
		for _, arg := range []string{"", "0.3", "2", "x", "0"} {
			t.Run(kind+"/"+arg, func(t *testing.T) {
				newBackend(t)
				t.Setenv("OTEL_TRACES_SAMPLER", kind)
				t.Setenv("OTEL_TRACES_SAMPLER_ARG", arg)
				said(t)
				ours, err := telemetry.StartSpans(t.Context(), "test")
				require.NoError(t, err)
				defer func() { _ = ours.Shutdown(context.WithoutCancel(t.Context())) }()
				sdk := sdktrace.NewTracerProvider().Tracer("test")
				for i := range 300 {
					parent := trace.SpanContextConfig{TraceID: trace.TraceID{0: 1, 8: byte(i * 7), 15: byte(i)}}
					if i%3 > 0 {
						parent.SpanID, parent.Remote = trace.SpanID{1}, true
						parent.TraceFlags = trace.TraceFlags(i % 3 / 2)
					}
					of := trace.NewSpanContext(parent)
					ctx := trace.ContextWithSpanContext(t.Context(), of)
					_, theirs := sdk.Start(ctx, "process")
					_, span := ours.Tracer.Start(ctx, "process")
					require.Equal(t, theirs.SpanContext().IsSampled(), ours.Sampled(of, of.TraceID()), of)
					require.Equal(t, theirs.SpanContext().IsSampled(), span.SpanContext().IsSampled(), of)
					require.Equal(t, theirs.SpanContext().TraceID(), span.SpanContext().TraceID())
					span.End()
				}
			})
		}
	}
}
