package telemetry_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/telemetry"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/traces"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// What the spans of an event cost, until a collector has them, in batches of 500.
func BenchmarkSpans(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	b.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", server.URL+"/v1/traces")
	b.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "100000000")
	spans, err := telemetry.StartSpans(b.Context(), "test")
	require.NoError(b, err)
	source := traces.New(traces.Config{
		Tracer: spans.Tracer, Sampled: spans.Sampled, EventNames: []string{"Purchase"},
		Endpoint: func(dataset string) string { return "https://graph.example/v26.0/" + dataset + "/events" },
	}).Source("CAPI", "capi-dispatcher")
	source.At("nats://127.0.0.1:4222")
	const batch = 500
	ids := make([]string, batch)
	for i := range ids {
		ids[i] = fmt.Sprint("event-", i)
	}
	answer := graph.Answer{Verdict: graph.Accepted, Status: 200, Received: batch, TraceID: "AbCdEf"}
	b.ReportAllocs()
	for b.Loop() {
		events := make([]traces.Event, batch)
		for i := range events {
			events[i] = source.Start(traces.Message{Headers: nats.Header(nil), Subject: "capi.events.1234567890", Sequence: uint64(i)},
				traces.About{Dataset: "1234567890", ID: ids[i], Name: "Purchase", Channel: "whatsapp"})
			events[i].Claim("fresh")
		}
		requests := source.Requests()
		requests.Begin(b.Context(), traces.Post{Dataset: "1234567890", Events: batch}, events)
		requests.End(&answer)
		var settling traces.Settling
		for _, e := range events {
			e.End(traces.Ending{Outcome: "accepted", Attempts: 1})
			settling.Add(source, e)
		}
		settling.Begin(b.Context())
		settling.End(nil)
	}
	require.NoError(b, spans.Shutdown(context.WithoutCancel(b.Context())))
}
