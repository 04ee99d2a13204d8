package dispatcher_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// recreate deletes the events' stream and creates it as it was: it has the same
// name and gives the same numbers to others.
func (b *harness) recreate() {
	b.t.Helper()
	stream, err := b.js.Stream(b.t.Context(), "CAPI")
	require.NoError(b.t, err)
	require.NoError(b.t, b.js.DeleteStream(b.t.Context(), "CAPI"))
	_, err = b.js.CreateStream(b.t.Context(), stream.CachedInfo().Config)
	require.NoError(b.t, err)
}

const few = 32

// slowAndPersistent: what is sent is in flight for a while, and what fails for
// longer.
func slowAndPersistent(o *options) {
	o.cfg.Delivery.Retry = dispatcher.Retry{Backoff: retry.Backoff{Initial: time.Minute, Max: time.Minute}, Budget: 5 * time.Minute}
}

// sendOld leaves events of the old stream in a request that is under way.
func (b *harness) sendOld() {
	b.t.Helper()
	b.Always(dataset, graphtest.Fault{Accept: true, AnswerDelay: 8 * time.Second})
	b.Always(other, graphtest.Fault{Status: 500})
	b.publish(dataset, events(few)...)
	b.awaitAccepted(few)
}

// publishNew publishes as many to the new stream, which fail at first.
func (b *harness) publishNew() {
	b.t.Helper()
	for i := range few {
		b.publish(other, event(fmt.Sprintf("new%d", i)))
	}
}

// accepted reports whether an event has been.
func (b *harness) accepted(dataset, id string) bool {
	for e := range b.Ledger().Counts() {
		if e.Dataset == dataset && e.ID == id {
			return true
		}
	}
	return false
}

// awaitNoPull waits until no pull waits at the consumer.
func (b *harness) awaitNoPull() {
	b.t.Helper()
	b.await("nobody pulls", func() bool {
		consumer, err := b.js.Consumer(b.t.Context(), "CAPI", "capi-dispatcher")
		return err == nil && consumer.CachedInfo().NumWaiting == 0
	})
}

// requireNewOnesSent: the worker that has them gives them back, and the next
// sends them.
func (b *harness) requireNewOnesSent() {
	b.t.Helper()
	b.stop(b.running)
	b.Clear(other)
	b.running = b.start()
	b.publish(other, event("last"))
	b.await("the last event is accepted", func() bool { return b.accepted(other, "last") })
	b.awaitQuiet()
	distinct, again := b.Ledger().Distinct()
	require.Equal(b.t, 2*few+1, distinct, "none is acknowledged for another")
	require.Zero(b.t, again)
}

// The stream is deleted and created again while events are in flight. What they
// are acknowledged by names the new stream's events, too, which are in flight by
// then, and which a stopping worker gives back.
func TestNoEventIsAcknowledgedForOneOfTheStreamBefore(t *testing.T) {
	t.Parallel()
	limits := &server.Options{}
	for name, change := range map[string]func(b *harness){
		"a stream recreated": func(b *harness) { b.recreate() },
		"an empty server in place of the one before": func(b *harness) {
			b.options.nats.Stop()
			limits.StoreDir = t.TempDir()
			b.options.nats.Restart()
			b.await("we are connected as well", b.js.Conn().IsConnected)
			require.NoError(t, streams.New(b.options.cfg.Streams, b.js, func(string) {}).Ensure(t.Context()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t, slowAndPersistent, func(o *options) { o.nats = natstest.StartWith(t, limits) })
			b.sendOld()
			change(b)
			b.publishNew()
			b.await("both are in flight", func() bool { return b.books("capi.events.received") == 2*few })
			b.await("the old ones are settled", func() bool { return b.settledAs("accepted") == few })
			require.Equal(t, few, b.ackPending(), "the new ones are not")
			b.requireNewOnesSent()
		})
	}
}

// The same while the worker stops: it pulls no more, and nothing but the stream's
// own word tells that it is another.
func TestAStoppingWorkerAcknowledgesNoEventOfAnotherStream(t *testing.T) {
	t.Parallel()
	b := setup(t, slowAndPersistent)
	b.sendOld()
	old := b.running
	old.stop()
	b.awaitNoPull()
	b.recreate()
	b.running = b.start()
	b.publishNew()
	b.await("the next worker has the new ones", func() bool { return b.ackPending() == few })
	b.stop(old)
	require.Equal(t, few, b.ackPending(), "they are still its own")
	b.requireNewOnesSent()
}

// What is in flight of a stream that is gone is nobody else's, however long it
// takes.
func TestWhatIsInFlightOfADeletedStreamIsSent(t *testing.T) {
	t.Parallel()
	b := setup(t, impatient, func(o *options) {
		o.cfg.Delivery.Retry = dispatcher.Retry{Backoff: retry.Backoff{Initial: time.Second, Max: time.Second}, Budget: 5 * time.Minute}
	})
	b.Always(dataset, graphtest.Fault{Status: 500})
	b.publish(dataset, event("a"))
	b.await("it is being tried", func() bool { return b.Ledger().Sum().Requests > 0 })
	b.recreate()
	began := time.Now()
	b.await("it is tried for well over AckWait", func() bool { return time.Since(began) > 2*b.options.cfg.Streams.AckWait })
	b.Clear(dataset)
	b.awaitAccepted(1)
	b.awaitQuiet()
	require.Zero(t, b.settledAs("dropped"))
	b.requireOnce("a")
}

// Where streams and consumers are somebody else's, a stream that was created
// anew without its consumer is said, and read on once that is there.
func TestARecreatedStreamWithoutItsConsumerIsSaid(t *testing.T) {
	t.Parallel()
	b := setup(t, impatient)
	b.stop(b.running)
	b.options.cfg.Streams.Manage = false
	b.running = b.start()
	consumer, err := b.js.Consumer(t.Context(), "CAPI", "capi-dispatcher")
	require.NoError(t, err)
	b.publish(dataset, event("old"))
	b.awaitAccepted(1)
	b.recreate()
	b.awaitCondition("events", false)
	b.await("what is missing is told", func() bool {
		return b.condition("events").Reason == "consumer capi-dispatcher does not exist on stream CAPI; create it, or set nats.manage to true"
	})
	b.publish(dataset, event("new"))
	_, err = b.js.CreateConsumer(t.Context(), "CAPI", consumer.CachedInfo().Config)
	require.NoError(t, err)
	b.awaitAccepted(2)
	b.awaitCondition("events", true)
	b.awaitQuiet()
	b.requireOnce("old", "new")
}

// A stream is purged while some of its events are in flight and others are not
// delivered yet. What is in flight is sent, what comes afterwards as well, and
// nothing waits for what is gone.
func TestAPurgedStreamIsReadOn(t *testing.T) {
	t.Parallel()
	for name, rejoin := range map[string]bool{"by the same consumer": false, "by one that is made anew": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(o *options) { o.cfg.Streams.MaxAckPending = few })
			b.Always(dataset, graphtest.Fault{Accept: true, AnswerDelay: 8 * time.Second})
			b.publish(dataset, events(few)...)
			b.await("as many as may be are in flight", func() bool { return b.books("capi.events.received") == few })
			b.publish(dataset, event("purged"))
			stream, err := b.js.Stream(t.Context(), "CAPI")
			require.NoError(t, err)
			require.NoError(t, stream.Purge(t.Context(), jetstream.WithPurgeKeep(1)))
			require.NoError(t, stream.DeleteMsg(t.Context(), b.lastSequence("CAPI")))
			if rejoin {
				require.NoError(t, stream.DeleteConsumer(t.Context(), "capi-dispatcher"))
			}
			b.Clear(dataset)
			b.publish(dataset, event("after"))
			b.awaitAccepted(few + 1)
			b.awaitQuiet()
			b.requireNoneTwice()
			require.False(t, b.accepted(dataset, "purged"))
			b.await("it is ready", b.running.ready)
		})
	}
}
