package main_test

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// backend is where the collector exports to, in the place of Tempo or Jaeger.
type backend struct {
	*httptest.Server

	mu      sync.Mutex
	spans   []*span
	metrics int // requests
}

// span is a span as the collector has exported it.
type span struct {
	*tracepb.Span

	schema string // of the conventions
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{}
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	return b
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := readAll(r)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.URL.Path != "/v1/traces" {
		b.metrics++
		return
	}
	var request collector.ExportTraceServiceRequest
	if proto.Unmarshal(body, &request) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				b.spans = append(b.spans, &span{Span: s, schema: scope.GetSchemaUrl()})
			}
		}
	}
}

func readAll(r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(r.Body)
	}
	plain, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(plain)
}

// all are the spans that have come so far.
func (b *backend) all() trace {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.spans)
}

// metricsReceived is how many requests with metrics have come so far.
func (b *backend) metricsReceived() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.metrics
}

// of are the spans of one trace, in the order of their beginning.
func (b *backend) of(id string) (spans trace) {
	for _, s := range b.all() {
		if hex.EncodeToString(s.GetTraceId()) == id {
			spans = append(spans, s)
		}
	}
	slices.SortStableFunc(spans, func(a, b *span) int {
		return int(int64(a.GetStartTimeUnixNano()) - int64(b.GetStartTimeUnixNano()))
	})
	return spans
}

// trace is spans.
type trace []*span

// named are those of a name.
func (t trace) named(name string) (spans trace) {
	for _, s := range t {
		if s.GetName() == name {
			spans = append(spans, s)
		}
	}
	return spans
}

// names are the names of all, in order.
func (t trace) names() (names []string) {
	for _, s := range t {
		names = append(names, s.GetName())
	}
	return names
}

// outcomes are what has become of the events of spans.
func (t trace) outcomes() (outcomes []string) {
	for _, s := range t {
		if outcome := s.text("capi.outcome"); outcome != "" {
			outcomes = append(outcomes, outcome)
		}
	}
	return outcomes
}

// happened are the names of what happened in spans.
func (t trace) happened() (names []string) {
	for _, s := range t {
		for _, e := range s.GetEvents() {
			names = append(names, e.GetName())
		}
	}
	return names
}

// by are spans by their ids.
func (t trace) by() map[string]*span {
	by := make(map[string]*span, len(t))
	for _, s := range t {
		by[string(s.GetSpanId())] = s
	}
	return by
}

func (s *span) value(key string) *common.AnyValue { return valueIn(s.GetAttributes(), key) }

func (s *span) text(key string) string { return s.value(key).GetStringValue() }

func valueIn(attributes []*common.KeyValue, key string) *common.AnyValue {
	for _, kv := range attributes {
		if kv.GetKey() == key {
			return kv.GetValue()
		}
	}
	return nil
}

// eventText is a text of the first event of a name.
func (s *span) eventText(name, key string) string {
	for _, e := range s.GetEvents() {
		if e.GetName() == name {
			return valueIn(e.GetAttributes(), key).GetStringValue()
		}
	}
	return ""
}
