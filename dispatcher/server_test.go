package dispatcher_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// patient makes requests be repeated for longer than a message is ours.
func patient(o *options) {
	o.cfg.Streams.AckWait, o.graph.Timeout = 12*time.Second, 6*time.Second
	o.cfg.Delivery.Retry = dispatcher.Retry{Backoff: retry.Backoff{Initial: 100 * time.Millisecond, Max: 100 * time.Millisecond}, Budget: time.Minute}
}

func (b *harness) settledAs(outcome string) int64 {
	b.t.Helper()
	return b.books("capi.events.settled", attribute.String("outcome", outcome))
}

// While NATS does not answer, a message that is in flight becomes somebody else's.
// It is sent no more then, and let go.
func TestALeaseIsRenewedOnlyIfTheServerAgrees(t *testing.T) {
	t.Parallel()
	b := setup(t, patient)
	b.Always(dataset, graphtest.Fault{Status: 500})
	b.publish(dataset, event("a"))
	b.await("it is being tried", func() bool { return b.Ledger().Sum().Requests >= 3 })
	b.options.nats.Stop()
	b.await("it is let go", func() bool { return b.settledAs("dropped") == 1 })
	tried := b.Ledger().Sum().Requests
	b.Clear(dataset)
	b.options.nats.Restart()
	b.awaitAccepted(1)
	b.awaitQuiet()
	require.Equal(t, tried+1, b.Ledger().Sum().Requests, "nothing was sent without a lease")
	b.requireOnce("a")
}

// acceptedWithoutNATS is a harness whose one event is accepted while NATS is away.
func acceptedWithoutNATS(t *testing.T, change func(*options)) *harness {
	t.Helper()
	b := setup(t, change)
	b.Script(dataset, graphtest.Fault{Accept: true, AnswerDelay: 3 * time.Second})
	b.publish(dataset, event("a"))
	b.awaitAccepted(1)
	b.options.nats.Stop()
	b.await("it is settled", func() bool { return b.settledAs("accepted") == 1 })
	return b
}

// An acknowledgement waits until NATS is back, and says that the stream is the
// same.
func TestAnAcknowledgementWaitsForNATS(t *testing.T) {
	t.Parallel()
	b := acceptedWithoutNATS(t, func(o *options) { o.cfg.Streams.AckWait = 2 * time.Minute })
	require.EqualValues(t, 1, b.books("capi.messages.in_flight"), "it has its room until then")
	b.options.nats.Restart()
	b.awaitQuiet()
	b.requireOnce("a")
	require.Zero(t, b.settledAs("duplicate"), "it did not have to come again")
}

// The worker stops before NATS is back, and its acknowledgement is lost. The
// message comes again and is recognised.
func TestALostAcknowledgementDoesNoHarm(t *testing.T) {
	t.Parallel()
	b := acceptedWithoutNATS(t, patient)
	b.stop(b.running)
	require.Zero(t, b.books("capi.messages.in_flight"))
	b.options.nats.Restart()
	b.running = b.start()
	b.await("the message comes again", func() bool { return b.settledAs("duplicate") == 1 })
	b.awaitQuiet()
	b.requireOnce("a")
	require.Zero(t, b.books("capi.events.maybe_sent"))
}

// The consumer is deleted while a request is under way. The new consumer
// delivers the message again, and the second delivery shares the first's fate.
func TestAConsumerDeletedDuringARequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Script(dataset, graphtest.Fault{Accept: true, AnswerDelay: 1500 * time.Millisecond})
	b.publish(dataset, event("a"))
	b.awaitAccepted(1)
	stream, err := b.js.Stream(t.Context(), "CAPI")
	require.NoError(t, err)
	require.NoError(t, stream.DeleteConsumer(t.Context(), "capi-dispatcher"))
	b.await("the message comes again", func() bool { return b.settledAs("duplicate") == 1 })
	b.awaitQuiet()
	b.requireOnce("a")
	require.Zero(t, b.books("capi.events.maybe_sent"))
}

// NATS delivers a message to another worker while the first is sending it, as
// it does when the server has died that knew of the first's signs of life. The
// other waits until the first's request must have ended.
func TestAMessageDeliveredToAnotherWorkerDuringARequest(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) {
		o.cfg.Streams.AckWait, o.graph.Timeout = time.Minute, 20*time.Second
	})
	b.start()
	b.Script(dataset, graphtest.Fault{Accept: true, AnswerDelay: 5 * time.Second})
	b.publish(dataset, event("a"))
	b.awaitAccepted(1)
	b.await("the other worker has it", func() bool {
		require.NoError(t, b.js.Conn().Publish("$JS.ACK.CAPI.capi-dispatcher.1.1.1.1.0", []byte("-NAK")))
		return b.settledAs("returned") > 0
	})
	b.awaitQuiet()
	b.requireOnce("a")
	require.Zero(t, b.books("capi.events.maybe_sent"))
}

// Somebody changes the consumer under a running worker. It is set right again.
func TestAChangedConsumerIsSetRight(t *testing.T) {
	t.Parallel()
	b := setup(t, patient)
	change := func(change func(*jetstream.ConsumerConfig)) {
		consumer, err := b.js.Consumer(t.Context(), "CAPI", "capi-dispatcher")
		require.NoError(t, err)
		cfg := consumer.CachedInfo().Config
		change(&cfg)
		_, err = b.js.UpdateConsumer(t.Context(), "CAPI", cfg)
		require.NoError(t, err)
	}
	for name, wrong := range map[string]func(*jetstream.ConsumerConfig){
		"ack wait":   func(c *jetstream.ConsumerConfig) { c.AckWait = time.Hour },
		"deliveries": func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 2 },
		"filter":     func(c *jetstream.ConsumerConfig) { c.FilterSubject = "capi.events.1" },
	} {
		change(wrong)
		b.publish(dataset, event(name))
		b.await(name+" is as it was", func() bool {
			consumer, err := b.js.Consumer(t.Context(), "CAPI", "capi-dispatcher")
			if err != nil {
				return false // it is being made anew
			}
			cfg := consumer.CachedInfo().Config
			return cfg.AckWait == 12*time.Second && cfg.MaxDeliver == -1 && cfg.FilterSubject == "capi.events.>"
		})
	}
	b.awaitAccepted(3)
	b.awaitQuiet()
	b.requireNoneTwice()
}

// Where consumers are only verified, a wrong one is said, and not pulled from.
func TestAChangedConsumerIsSaid(t *testing.T) {
	t.Parallel()
	b := setup(t, patient)
	b.stop(b.running)
	b.options.cfg.Streams.Manage = false
	b.running = b.start()
	consumer, err := b.js.Consumer(t.Context(), "CAPI", "capi-dispatcher")
	require.NoError(t, err)
	right := consumer.CachedInfo().Config
	wrong := right
	wrong.AckWait = time.Hour
	_, err = b.js.UpdateConsumer(t.Context(), "CAPI", wrong)
	require.NoError(t, err)
	b.awaitCondition("events", false)
	require.Contains(t, b.condition("events").Reason, "has an AckWait of 1h0m0s; set nats.ack_wait")
	b.publish(dataset, event("a"))
	_, err = b.js.UpdateConsumer(t.Context(), "CAPI", right)
	require.NoError(t, err)
	b.awaitAccepted(1)
	b.awaitCondition("events", true)
	b.awaitQuiet()
}

// The server comes back and takes larger messages than there is room for: none
// could be pulled, so that readiness says what to set, until it fits again.
func TestMessagesLargerThanTheRoomForThem(t *testing.T) {
	t.Parallel()
	limits := &server.Options{MaxPayload: 1 << 20}
	nats := natstest.StartWith(t, limits)
	b := setup(t, patient, func(o *options) { o.nats, o.cfg.Delivery.MaxInFlightBytes = nats, 10_000_000 })
	restart := func(payload int32) {
		nats.Stop()
		limits.MaxPayload = payload
		nats.Restart()
	}
	restart(10_000_000)
	b.awaitCondition("events", false)
	b.await("the reason is told", func() bool { return strings.Contains(b.condition("events").Reason, "it has to be 10001024 or more") })
	b.await("the producer is connected again", b.js.Conn().IsConnected)
	b.publish(dataset, event("a"))
	restart(1 << 20)
	b.awaitAccepted(1)
	b.awaitCondition("events", true)
}

// The parked stream takes nothing. What would have gone there is neither
// acknowledged nor dead-lettered.
func TestAParkedStreamThatRefusesLosesNothing(t *testing.T) {
	t.Parallel()
	const waiting = 3
	b := setup(t, impatient)
	b.Always(dataset, graphtest.Fault{Error: graphtest.PermissionMissing()})
	before := b.change("CAPI_PARKED", takesNothingLarge)
	b.publish(dataset, events(waiting)...)
	b.awaitCondition("exits", false)
	require.Contains(t, b.condition("exits").Reason, "message size exceeds maximum allowed")
	require.False(t, b.running.ready())
	b.await("what found no place is not acknowledged", func() bool { return b.ackPending() == waiting && b.pending() == 0 })
	b.await("it is tried again and again", func() bool { return b.settledAs("returned") > 5 })
	require.Equal(t, waiting, b.ackPending())
	b.change("CAPI_PARKED", func(c *jetstream.StreamConfig) { *c = before })
	b.Clear(dataset)
	b.awaitAccepted(waiting)
	b.awaitQuiet()
	b.awaitCondition("exits", true)
	b.requireNoneTwice()
	b.requireBalance()
	require.Zero(t, b.streamSize("CAPI_DLQ"))
}
