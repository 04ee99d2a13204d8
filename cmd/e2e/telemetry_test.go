package e2e_test

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// otlp is a collector of traces, and counts the requests with metrics.
type otlp struct {
	mu      sync.Mutex
	spans   []*tracepb.Span
	service string
	metrics int
}

func (o *otlp) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.URL.Path != "/v1/traces" {
		o.metrics++
		return
	}
	var request collector.ExportTraceServiceRequest
	if proto.Unmarshal(body, &request) != nil {
		return
	}
	for _, resource := range request.GetResourceSpans() {
		for _, kv := range resource.GetResource().GetAttributes() {
			if kv.GetKey() == "service.name" {
				o.service = kv.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			o.spans = append(o.spans, scope.GetSpans()...)
		}
	}
}

// named returns the spans of a name.
func (o *otlp) named(name string) (found []*tracepb.Span) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, span := range o.spans {
		if span.GetName() == name {
			found = append(found, span)
		}
	}
	return found
}

// The standard variables are all it takes: one trace leads from the producer to
// Meta, and metrics are pushed.
func TestOneTraceFromProducerToMeta(t *testing.T) {
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	received := &otlp{}
	server := httptest.NewServer(received)
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	t.Setenv("OTEL_SERVICE_NAME", "my-dispatcher")
	r := setup(t)
	r.addDatasets(1)
	w := r.start()
	_, err := r.js.PublishMsg(t.Context(), &nats.Msg{
		Subject: "capi.events." + datasetID(0), Data: []byte(event("a", "x")),
		Header: nats.Header{"traceparent": {"00-" + trace + "-00f067aa0ba902b7-01"}},
	})
	require.NoError(t, err)
	r.await("the spans have arrived", func() bool {
		return len(received.named("process CAPI")) == 1 && len(received.named("POST /v26.0/{dataset}/events")) == 1
	})
	w.stop()
	process, post := received.named("process CAPI")[0], received.named("POST /v26.0/{dataset}/events")[0]
	require.Equal(t, trace, hex.EncodeToString(process.GetTraceId()))
	require.Equal(t, "00f067aa0ba902b7", hex.EncodeToString(process.GetParentSpanId()))
	require.Len(t, post.GetLinks(), 1)
	require.Equal(t, process.GetSpanId(), post.GetLinks()[0].GetSpanId())
	require.Equal(t, "my-dispatcher", received.service)
	require.Positive(t, received.metrics)
}

// What a run writes holds neither tokens nor personal data.
func TestNothingSecretIsWritten(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.config.Log.Level, r.config.Graph.HashPersonalData = "debug", true
	r.addDatasets(2)
	w := r.start()
	const person = "person@example.com"
	r.publishAll([]jetstreamMessage{
		{"capi.events." + datasetID(0), event("a", person)},
		{"capi.events." + datasetID(0), event("b", "invalid"+person)},
		{"capi.events." + datasetID(0), `{"event_name":"` + person + `"`},
		{"capi.events." + datasetID(0), `{"event_name":["` + person + `"],"` + person + `":1,"` + person + `":2}`},
		{"capi.events." + datasetID(0), withPerson(event("d", "x"), `"em":"`+person+`"`)},
		{"capi.events." + datasetID(0), withPerson(event("e", "x"), `"ph":"call `+person+`"`)},
		{"capi.events." + datasetID(1), `{"data":[` + event("c", person) + `],"access_token":"` + token + `-in-the-body"}`},
	})
	r.await("all have come to their end", func() bool { return r.Ledger().Sum().Events == 4 && r.size("CAPI_DLQ") == 3 })
	metrics, err := w.get("/metrics")
	require.NoError(t, err)
	ready, err := w.get("/readyz")
	require.NoError(t, err)
	w.stop()
	for where, text := range map[string]string{"log": r.logs(), "metrics": metrics, "readyz": ready} {
		require.NotEmpty(t, text)
		require.NotContains(t, text, token, where)
		require.NotContains(t, text, person, where)
	}
	for _, letter := range r.letters() {
		require.NotContains(t, string(letter.Event), token)
	}
}
