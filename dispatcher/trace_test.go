package dispatcher_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

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

const (
	processSpan = "process CAPI"
	parkedSpan  = "process CAPI_PARKED"
	postSpan    = "POST /v26.0/{dataset}/events"
)

// links are the spans that a span links to.
func links(span tracetest.SpanStub) (to []trace.SpanID) {
	for _, link := range span.Links {
		to = append(to, link.SpanContext.SpanID())
	}
	return to
}

// happened are the names of what happened during a span.
func happened(span tracetest.SpanStub) (names []string) {
	for _, e := range span.Events {
		names = append(names, e.Name)
	}
	return names
}

func TestOneTraceFromProducerToMeta(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publishMsg(traced(traceA, body(event("a"), event("b"))))
	b.awaitAccepted(2)
	b.awaitQuiet()
	b.stop(b.running)

	events := b.spansOf(processSpan)
	require.Len(t, events, 2)
	posts := b.spansOf(postSpan)
	require.Len(t, posts, 1)
	require.Len(t, posts[0].Links, 2, "the request links to each event")
	for i, span := range events {
		require.Equal(t, traceA, span.SpanContext.TraceID().String(), "the producer's trace goes on")
		require.Equal(t, parent, span.Parent.SpanID().String())
		require.Equal(t, "accepted", attributeOf(span, "capi.outcome"))
		require.Equal(t, traceA, posts[0].Links[i].SpanContext.TraceID().String())
		require.Contains(t, links(posts[0]), span.SpanContext.SpanID())
		require.Equal(t, []trace.SpanID{posts[0].SpanContext.SpanID()}, links(span), "each event links to its request")
		require.Equal(t, []string{"capi.claim"}, happened(span))
		require.Equal(t, "1", attributeOf(span, "messaging.message.id"))
	}
	require.Equal(t, traceA, posts[0].SpanContext.TraceID().String(), "the request is in the trace of its first event")
	require.Equal(t, "accepted", attributeOf(posts[0], "capi.verdict"))
	require.Equal(t, "2", attributeOf(posts[0], "capi.events"))
	require.Equal(t, b.graph.URL+"/v26.0/"+dataset+"/events", attributeOf(posts[0], "url.full"))
	require.NotEmpty(t, attributeOf(posts[0], "capi.fbtrace_id"))
	require.Len(t, b.spansOf("settle CAPI"), 1)
	for _, span := range b.spans.GetSpans() {
		for _, kv := range span.Attributes {
			require.NotContains(t, kv.Value.String(), token)
			require.NotContains(t, kv.Value.String(), "clid")
		}
	}
}

// A request has a span if one of its events has one. It links to those, and those
// link back; of the others there is nothing.
func TestARequestIsSampledIfOneOfItsEventsIs(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) {
		o.sampled = func(parent trace.SpanContext, _ trace.TraceID) bool { return parent.IsSampled() }
		o.batch.Linger = 200 * time.Millisecond
	})
	b.Script(dataset, graphtest.Fault{Delay: 500 * time.Millisecond}, graphtest.Fault{Delay: 500 * time.Millisecond})
	b.publish(dataset, event("first"))
	for i := range 20 {
		msg := traced(fmt.Sprintf("%032x", i+1), event(fmt.Sprint("e", i)))
		if i != 7 && i != 13 {
			msg.Header.Set("Traceparent", strings.TrimSuffix(msg.Header["Traceparent"][0], "1")+"0")
		}
		b.publishMsg(msg)
	}
	b.awaitAccepted(21)
	b.awaitQuiet()
	b.stop(b.running)

	events, posts := b.spansOf(processSpan), b.spansOf(postSpan)
	require.Len(t, events, 2)
	require.LessOrEqual(t, len(posts), 2)
	linked := 0
	for _, post := range posts {
		require.NotEmpty(t, post.Links, "no request without a sampled event")
		linked += len(post.Links)
		for _, span := range events {
			for _, link := range post.Links {
				if link.SpanContext.SpanID() == span.SpanContext.SpanID() {
					require.Contains(t, links(span), post.SpanContext.SpanID())
				}
			}
		}
	}
	require.Equal(t, 2, linked)
}

// What halves cost is seen where the refused request is.
func TestHalvesAreChildrenOfTheRefusedRequest(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) { o.batch.Linger = 500 * time.Millisecond })
	b.publishMsg(traced(traceA, body(event("a"), event("b"), poison("bad"), event("c"))))
	b.awaitLetters(1)
	b.awaitAccepted(3)
	b.awaitQuiet()
	b.stop(b.running)
	posts := b.spansOf(postSpan)
	require.GreaterOrEqual(t, len(posts), 3)
	byID := make(map[trace.SpanID]tracetest.SpanStub)
	for _, post := range posts {
		byID[post.SpanContext.SpanID()] = post
	}
	for _, post := range posts {
		require.Equal(t, traceA, post.SpanContext.TraceID().String())
		depth := attributeOf(post, "capi.bisect.depth")
		above, half := byID[post.Parent.SpanID()]
		require.Equal(t, depth != "", half, "a half has a request above it, the whole has an event")
		if half {
			require.Equal(t, "refused", attributeOf(above, "capi.verdict"))
		}
	}
	var outcomes []string
	for _, span := range b.spansOf(processSpan) {
		outcomes = append(outcomes, attributeOf(span, "capi.outcome"))
		if attributeOf(span, "capi.outcome") == "dead_lettered" {
			require.Contains(t, happened(span), "capi.dead_letter")
			require.Equal(t, "refused", attributeOf(span, "error.type"))
			require.GreaterOrEqual(t, len(span.Links), 2, "it links to each request that it was in")
		}
	}
	require.ElementsMatch(t, []string{"accepted", "accepted", "accepted", "dead_lettered"}, outcomes)
}

// An event whose trace begins here and is not sampled stays unsampled where it goes.
func TestATraceThatIsNotSampledStaysSo(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	b := setup(t, func(o *options) {
		o.sampled = func(parent trace.SpanContext, _ trace.TraceID) bool {
			asked.Add(1)
			return parent.IsValid() && parent.IsSampled()
		}
	})
	b.publish(dataset, poison("bad"))
	letter := b.awaitLetters(1)[0]
	require.Regexp(t, "^00-[0-9a-f]{32}-[0-9a-f]{16}-00$", letter.Trace.Get("traceparent"))
	require.EqualValues(t, 1, asked.Load())
	b.awaitQuiet()
	b.stop(b.running)
	require.Empty(t, b.spans.GetSpans())
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
	for _, span := range append(b.spansOf(processSpan), b.spansOf(parkedSpan)...) {
		if span.SpanContext.TraceID().String() == traceB {
			outcomes = append(outcomes, attributeOf(span, "capi.outcome"))
		}
	}
	require.GreaterOrEqual(t, len(outcomes), 2)
	require.Equal(t, "parked", outcomes[0])
	require.Equal(t, "accepted", outcomes[len(outcomes)-1])
	require.Contains(t, happened(b.spansOf(parkedSpan)[0]), "capi.wake")
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
			span := b.spansOf(processSpan)[0]
			require.Equal(t, outcome, attributeOf(span, "capi.outcome"))
			require.Equal(t, "1", attributeOf(span, "capi.maybe_sent"))
			if policy == dispatcher.DeadLetter {
				require.Equal(t, 1, b.letters()[0].MaybeSent)
			}
		})
	}
}
