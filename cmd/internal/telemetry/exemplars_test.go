package telemetry_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/telemetry"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// What is measured within a sampled span leads to its trace; what is not, does not.
func TestLatenciesHaveExemplars(t *testing.T) {
	t.Parallel()
	for name, sampled := range map[string]trace.TraceFlags{"sampled": trace.FlagsSampled, "not sampled": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			observed, err := telemetry.Setup(t.Context(), "test", metrics.MaxSets(1))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, observed.Shutdown(context.WithoutCancel(t.Context()))) })
			meters, err := metrics.NewMeters(observed.Meter)
			require.NoError(t, err)
			id := trace.TraceID{1, 2, 3}
			ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
				TraceID: id, SpanID: trace.SpanID{4}, TraceFlags: sampled,
			}))
			datasets := metrics.NewDatasets(1, nil, func(string) bool { return false })
			meters.Took(ctx, time.Second, time.Minute)
			meters.Posted(ctx, datasets.Of("1"), 1, &graph.Answer{Verdict: graph.Accepted, Took: time.Second})

			request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
			request.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
			answer := httptest.NewRecorder()
			observed.Metrics.ServeHTTP(answer, request)
			for _, metric := range []string{"capi_event_latency_seconds", "capi_event_age_seconds", "capi_request_duration_seconds"} {
				leads := `(?m)^` + metric + `_bucket\{.*\} 1 # \{.*trace_id="` + id.String() + `"`
				if sampled == trace.FlagsSampled {
					require.Regexp(t, leads, answer.Body.String())
				} else {
					require.NotRegexp(t, leads, answer.Body.String())
				}
			}
		})
	}
}
