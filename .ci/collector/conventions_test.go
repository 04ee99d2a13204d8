package main_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// The attributes that a span may have, and which it has to have, by its operation.
// What is not of the conventions is ours, and says so.
type convention struct {
	kind      tracepb.Span_SpanKind
	has, may  []string
	templated string // the attribute whose value the name ends in
	operation string // the attribute whose value the name begins with
}

func conventions() map[string]convention {
	messaging := []string{
		"messaging.system", "messaging.operation.name", "messaging.operation.type", "messaging.destination.template",
		"server.address", "server.port",
	}
	of := func(kind tracepb.Span_SpanKind, has, may []string) convention {
		return convention{
			kind: kind, has: append(has, messaging...), may: append(may, "error.type"),
			templated: "messaging.destination.template", operation: "messaging.operation.name",
		}
	}
	return map[string]convention{
		"process": of(tracepb.Span_SPAN_KIND_CONSUMER,
			[]string{"messaging.consumer.group.name", "messaging.message.id"}, []string{"messaging.destination.name"}),
		"settle": of(tracepb.Span_SPAN_KIND_CLIENT,
			[]string{"messaging.consumer.group.name"}, []string{"messaging.batch.message_count"}),
		"publish": of(tracepb.Span_SPAN_KIND_PRODUCER, nil, []string{"messaging.message.id", "messaging.destination.name"}),
		"POST": {
			kind: tracepb.Span_SPAN_KIND_CLIENT,
			has: []string{
				"http.request.method", "url.full", "url.template", "server.address", "server.port", "http.request.body.size",
			},
			may:       []string{"http.response.status_code", "http.request.resend_count", "error.type"},
			templated: "url.template", operation: "http.request.method",
		},
	}
}

// requireConventions holds spans against the semantic conventions for messaging and
// HTTP.
func requireConventions(t *testing.T, spans trace) {
	t.Helper()
	seen := make(map[string]bool)
	for _, s := range spans {
		operation, _, _ := strings.Cut(s.GetName(), " ")
		want, known := conventions()[operation]
		require.True(t, known, s.GetName())
		seen[operation] = true
		require.Equal(t, semconv.SchemaURL, s.schema)
		require.Equal(t, want.kind, s.GetKind(), s.GetName())
		require.Equal(t, s.text(want.operation)+" "+s.text(want.templated), s.GetName())
		requireAttributes(t, s, want)
		requireStatus(t, s)
		requireValues(t, s)
		require.Zero(t, s.GetDroppedLinksCount()+s.GetDroppedAttributesCount()+s.GetDroppedEventsCount())
		for _, e := range s.GetEvents() {
			require.Regexp(t, `^capi\.[a-z_.]+$`, e.GetName())
		}
	}
	require.Len(t, seen, len(conventions()), "there are spans of every kind")
}

func requireAttributes(t *testing.T, s *span, want convention) {
	t.Helper()
	has := make(map[string]bool)
	for _, kv := range s.GetAttributes() {
		require.False(t, has[kv.GetKey()], "twice: %s", kv.GetKey())
		has[kv.GetKey()] = true
		if strings.HasPrefix(kv.GetKey(), "capi.") {
			continue
		}
		require.Contains(t, append(want.has, want.may...), kv.GetKey(), s.GetName())
	}
	for _, key := range want.has {
		require.True(t, has[key], "%s has no %s", s.GetName(), key)
	}
}

// requireStatus makes sure that a span that has failed says of which kind, and no
// other does.
func requireStatus(t *testing.T, s *span) {
	t.Helper()
	failed := s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR
	require.Equal(t, failed, s.text("error.type") != "", s.GetName())
	require.NotEqual(t, tracepb.Status_STATUS_CODE_OK, s.GetStatus().GetCode(), "that is for the application to say")
}

var lowCardinality = regexp.MustCompile(`^[a-z_]+$|^[45]\d\d$`)

func requireValues(t *testing.T, s *span) {
	t.Helper()
	if kind := s.text("error.type"); kind != "" {
		require.Regexp(t, lowCardinality, kind)
	}
	if full := s.text("url.full"); full != "" {
		u, err := url.Parse(full)
		require.NoError(t, err)
		require.Empty(t, u.RawQuery)
		require.Nil(t, u.User)
		require.Equal(t, s.text("server.address"), u.Hostname())
	}
	switch s.text("messaging.operation.name") {
	case "process":
		require.Equal(t, "process", s.text("messaging.operation.type"))
		require.NotEmpty(t, s.text("capi.outcome"), "it has ended")
	case "publish":
		require.Equal(t, "send", s.text("messaging.operation.type"))
	}
	if count := s.value("messaging.batch.message_count"); count != nil {
		require.Greater(t, count.GetIntValue(), int64(1), "of several only")
	}
	if resend := s.value("http.request.resend_count"); resend != nil {
		require.Positive(t, resend.GetIntValue())
	}
	if system := s.text("messaging.system"); system != "" {
		require.Equal(t, "nats", system)
	}
}
