package dispatcher_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

const (
	traceA = "4bf92f3577b34da6a3ce929d0e0e4736"
	traceB = "5bf92f3577b34da6a3ce929d0e0e4736"
	parent = "00f067aa0ba902b7"
)

func traced(trace, data string) *nats.Msg {
	return &nats.Msg{
		Subject: "capi.events." + dataset, Data: []byte(data),
		Header: nats.Header{"Traceparent": {"00-" + trace + "-" + parent + "-01"}, "tracestate": {"vendor=1"}},
	}
}

// spansOf returns the spans of a name, ended ones only.
func (b *harness) spansOf(name string) (found tracetest.SpanStubs) {
	for _, span := range b.spans.GetSpans() {
		if span.Name == name {
			found = append(found, span)
		}
	}
	return found
}

func attributeOf(span tracetest.SpanStub, key string) string {
	for _, kv := range span.Attributes {
		if kv.Key == attribute.Key(key) {
			return kv.Value.String()
		}
	}
	return ""
}

func TestOneTraceFromProducerToMeta(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publishMsg(traced(traceA, body(event("a"), event("b"))))
	b.awaitAccepted(2)
	b.awaitQuiet()
	b.stop(b.running)

	events := b.spansOf("process event")
	require.Len(t, events, 2)
	posts := b.spansOf("POST events")
	require.Len(t, posts, 1)
	require.Len(t, posts[0].Links, 2, "the request links to each event")
	for i, span := range events {
		require.Equal(t, traceA, span.SpanContext.TraceID().String(), "the producer's trace goes on")
		require.Equal(t, parent, span.Parent.SpanID().String())
		require.Equal(t, "accepted", attributeOf(span, "capi.outcome"))
		require.Equal(t, traceA, posts[0].Links[i].SpanContext.TraceID().String())
	}
	require.Equal(t, "accepted", attributeOf(posts[0], "capi.verdict"))
	require.Equal(t, "2", attributeOf(posts[0], "messaging.batch.message_count"))
	require.NotEmpty(t, attributeOf(posts[0], "capi.fbtrace_id"))
	for _, span := range b.spans.GetSpans() {
		for _, kv := range span.Attributes {
			require.NotContains(t, kv.Value.String(), token)
			require.NotContains(t, kv.Value.String(), "clid")
		}
	}
}

func TestTheTraceGoesOnInDeadLettersAndParkedEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publishMsg(traced(traceA, poison("bad")))
	letter := b.awaitLetters(1)[0]
	require.Contains(t, letter.Trace.Get("traceparent"), traceA)
	require.Equal(t, "vendor=1", letter.Trace.Get("tracestate"))

	b.AddDataset(dataset, "another-token")
	b.publishMsg(traced(traceB, event("parked")))
	b.await("it is parked", func() bool { return b.books("capi.events.settled", attribute.String("outcome", "parked")) > 0 })
	b.AddDataset(dataset, token)
	b.awaitAccepted(1)
	b.awaitQuiet()
	b.stop(b.running)
	var outcomes []string
	for _, span := range b.spansOf("process event") {
		if span.SpanContext.TraceID().String() == traceB {
			outcomes = append(outcomes, attributeOf(span, "capi.outcome"))
		}
	}
	require.GreaterOrEqual(t, len(outcomes), 2)
	require.Equal(t, "parked", outcomes[0])
	require.Equal(t, "accepted", outcomes[len(outcomes)-1])
}

// An event whose outcome nobody knows is marked: on its span, and on its dead
// letter.
func TestTheTraceTellsWhatMayHaveBeenSent(t *testing.T) {
	t.Parallel()
	for policy, outcome := range map[dispatcher.OnUnknown]string{dispatcher.Resend: "accepted", dispatcher.DeadLetter: "dead_lettered"} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(o *options) { o.cfg.Delivery.OnUnknown, o.cfg.Delivery.Retry.Budget = policy, time.Minute })
			b.Script(dataset, graphtest.Fault{Accept: true, Drop: true})
			b.publish(dataset, event("a"))
			b.awaitQuiet()
			b.stop(b.running)
			require.EqualValues(t, 1, b.books("capi.events.maybe_sent"))
			span := b.spansOf("process event")[0]
			require.Equal(t, outcome, attributeOf(span, "capi.outcome"))
			require.Equal(t, "1", attributeOf(span, "capi.maybe_sent"))
			if policy == dispatcher.DeadLetter {
				require.Equal(t, 1, b.letters()[0].MaybeSent)
			}
		})
	}
}
