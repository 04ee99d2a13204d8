package dispatcher_test

import (
	"fmt"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe/dedupetest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
	"github.com/capi-dispatcher/capi-dispatcher/internal/porttest"
)

// condition returns one condition of the running dispatcher.
func (b *harness) condition(name string) health.Condition {
	b.t.Helper()
	for _, c := range b.running.Conditions() {
		if c.Name == name {
			return c
		}
	}
	b.t.Fatalf("there is no condition %q", name)
	return health.Condition{}
}

func (b *harness) awaitCondition(name string, ok bool) {
	b.t.Helper()
	b.await(fmt.Sprintf("condition %s is %v", name, ok), func() bool { return b.condition(name).OK == ok })
}

func TestWithoutRedisNothingIsTakenAndNothingIsSent(t *testing.T) {
	t.Parallel()
	server := dedupetest.Start(t)
	b := setup(t, func(o *options) { o.redis = server.Client() })
	b.publish(dataset, event("before"))
	b.awaitAccepted(1)
	server.Kill()
	b.publish(dataset, events(100)...)
	b.awaitCondition("redis", false)
	require.NotEmpty(t, b.condition("redis").Reason)
	require.Equal(t, 1, b.Ledger().Sum().Requests, "nothing is sent unclaimed")
	server.Restart()
	b.awaitCondition("redis", true)
	b.awaitAccepted(101)
	b.awaitQuiet()
	_, again := b.Ledger().Distinct()
	require.Zero(t, again)
	b.requireBalance()
}

// Redis dies while a request is in flight. What was sent is remembered when
// Redis is back, and copies are dropped.
func TestWhatWasSentIsConfirmedLater(t *testing.T) {
	t.Parallel()
	server := dedupetest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	b := setup(t, func(o *options) {
		o.redis = server.Client()
		o.cfg.Streams.AckWait, o.graph.Timeout = 30*time.Second, 15*time.Second
	})
	b.Script(dataset, graphtest.Fault{Accept: true, AnswerDelay: 5 * time.Second})
	b.publish(dataset, event("a"))
	b.awaitAccepted(1)
	server.Kill()
	b.awaitCondition("redis", false)
	b.await("the message is acknowledged all the same", func() bool {
		return b.books("capi.events.settled", attribute.String("outcome", "accepted")) == 1
	})
	server.Restart()
	b.awaitCondition("redis", true)
	b.publish(dataset, event("a"))
	b.await("the copy is recognised", func() bool {
		return b.books("capi.events.settled", attribute.String("outcome", "duplicate")) == 1
	})
	b.awaitQuiet()
	b.requireOnce("a")
}

func TestNATSRestarts(t *testing.T) {
	t.Parallel()
	b := setup(t, impatient)
	b.Always(dataset, graphtest.Fault{Delay: 20 * time.Millisecond})
	b.publish(dataset, events(500)...)
	b.awaitAccepted(1)
	b.options.nats.Stop()
	b.awaitCondition("nats", false)
	b.options.nats.Restart()
	b.await("it is ready again by itself", b.running.ready)
	b.awaitAccepted(500)
	b.awaitQuiet()
	_, again := b.Ledger().Distinct()
	require.Zero(t, again)
}

func TestMetaOutOfReach(t *testing.T) {
	t.Parallel()
	address := fmt.Sprint("127.0.0.1:", porttest.Port(t))
	b := setup(t, func(o *options) {
		o.graph.URL = "http://" + address
		o.cfg.Delivery.MaxInFlight = 50
		o.cfg.Delivery.Retry.Budget = 10 * time.Second
	})
	b.publish(dataset, events(300)...)
	b.awaitCondition("graph", false)
	require.Contains(t, b.condition("graph").Reason, "refused")
	b.await("what was in flight is parked", func() bool { return b.books("capi.messages.in_flight") == 0 })
	require.NotZero(t, b.pending(), "the stream is the queue")
	b.listen(address)
	b.awaitAccepted(300)
	b.awaitQuiet()
	b.awaitCondition("graph", true)
	_, again := b.Ledger().Distinct()
	require.Zero(t, again)
}

// While Meta was out of reach, each dataset's breaker has opened, for an hour. As
// soon as anybody gets through to Meta, all are tried.
func TestWhatFailedWhileMetaWasAwayIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	const datasets, each = 8, 5
	address := fmt.Sprint("127.0.0.1:", porttest.Port(t))
	b := setup(t, parkForAnHour, func(o *options) { o.graph.URL = "http://" + address })
	for i := range datasets {
		b.AddDataset(member(i), token)
		b.publish(member(i), events(each)...)
	}
	b.awaitParked(datasets * each)
	b.awaitCondition("graph", false)
	b.listen(address)
	b.publish(dataset, event("the first to get through"))
	b.awaitAccepted(datasets*each + 1)
	b.awaitQuiet()
	b.requireNoneTwice()
}

func (b *harness) pending() uint64 {
	b.t.Helper()
	consumer, err := b.js.Consumer(b.t.Context(), "CAPI", "capi-dispatcher")
	require.NoError(b.t, err)
	return consumer.CachedInfo().NumPending
}

// listen puts the simulated API at an address.
func (b *harness) listen(address string) {
	b.t.Helper()
	listener, err := net.Listen("tcp", address)
	require.NoError(b.t, err)
	server := httptest.NewUnstartedServer(b.API)
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	b.t.Cleanup(server.Close)
}

// A message may be in flight for longer than AckWait, while it is retried. The
// server is told, and gives it to nobody else.
func TestLongRetriesKeepTheMessage(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) {
		o.cfg.Streams.AckWait, o.graph.Timeout = 15*time.Second, 5*time.Second
		o.cfg.Delivery.Retry = dispatcher.Retry{Backoff: retry.Backoff{Initial: time.Second, Max: time.Second}, Budget: 5 * time.Minute}
	})
	b.start() // somebody who would get it
	b.Always(dataset, graphtest.Fault{Status: 500})
	b.publish(dataset, event("a"))
	b.await("it is retried for well over AckWait", func() bool { return b.Ledger().Sum().Requests >= 25 })
	b.Clear(dataset)
	b.awaitAccepted(1)
	b.awaitQuiet()
	require.EqualValues(t, 1, b.books("capi.events.received"), "delivered once")
	require.Zero(t, b.books("capi.events.settled", attribute.String("outcome", "dropped")))
}

func TestDeadLettersThatCannotBePublishedAreNotLost(t *testing.T) {
	t.Parallel()
	b := setup(t, impatient)
	b.unmanaged()
	require.NoError(t, b.js.DeleteStream(t.Context(), "CAPI_DLQ"))
	b.publish(dataset, body(event("good"), poison("bad")), `{`)
	b.awaitAccepted(1)
	b.awaitCondition("exits", false)
	require.Contains(t, b.condition("exits").Reason, "capi.dead."+dataset)
	b.await("the letters are parked", func() bool { return b.ackPending() == 0 && b.streamSize("CAPI_PARKED") == 2 })
	_, err := b.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "CAPI_DLQ", Subjects: []string{"capi.dead.>"}})
	require.NoError(t, err)
	b.awaitLetters(2)
	b.awaitQuiet()
	b.requireOnce("good")
	b.awaitCondition("exits", true)
}

func TestAMissingParkedStreamLosesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.unmanaged()
	require.NoError(t, b.js.DeleteStream(t.Context(), "CAPI_PARKED"))
	b.Always(dataset, graphtest.Fault{Status: 500})
	b.publish(dataset, events(10)...)
	b.awaitCondition("exits", false)
	b.Clear(dataset)
	b.awaitAccepted(10)
	_, again := b.Ledger().Distinct()
	require.Zero(t, again)
	b.await("everything is acknowledged", func() bool { return natstest.Done(t.Context(), b.js, "CAPI", "capi-dispatcher") })
}

func TestADeletedConsumerIsMadeAnew(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(dataset, event("a"))
	b.awaitAccepted(1)
	b.awaitQuiet()
	stream, err := b.js.Stream(t.Context(), "CAPI")
	require.NoError(t, err)
	require.NoError(t, stream.DeleteConsumer(t.Context(), "capi-dispatcher"))
	b.publish(dataset, event("b"))
	b.awaitAccepted(2)
	b.awaitQuiet()
	b.requireOnce("a", "b")
	require.EqualValues(t, 1, b.books("capi.events.settled", attribute.String("outcome", "duplicate")), "the new consumer began at the beginning")
}

func TestItWaitsForNATSToBeThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stop(b.running)
	b.options.nats.Stop()
	b.running = b.launch()
	b.awaitCondition("nats", false)
	b.options.nats.Restart()
	b.await("it is ready by itself", b.running.ready)
	b.await("we are connected as well", b.js.Conn().IsConnected)
	b.publish(dataset, event("a"))
	b.awaitAccepted(1)
	b.awaitQuiet()
}
