package dispatcher_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe/dedupetest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

func TestStoppingSendsWhatIsInFlight(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) { o.batch.Linger = time.Minute })
	b.Always(dataset, graphtest.Fault{Delay: 300 * time.Millisecond})
	b.publish(dataset, events(50)...)
	b.await("some are in flight", func() bool { return b.books("capi.events.received") == 50 })
	b.stop(b.running)
	distinct, again := b.Ledger().Distinct()
	require.Equal(t, 50, distinct)
	require.Zero(t, again)
	b.awaitQuiet()
	b.requireBalance()
}

func TestStoppingUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 5000
	b.Always(dataset, graphtest.Fault{Delay: 50 * time.Millisecond})
	go b.publish(dataset, events(n)...)
	for _, distinct := range []int{100, 1000, 2000} {
		b.awaitAccepted(distinct)
		b.stop(b.running)
		b.running = b.start()
	}
	b.awaitAccepted(n)
	b.awaitQuiet()
	_, again := b.Ledger().Distinct()
	require.Zero(t, again)
	require.Zero(t, b.books("capi.events.maybe_sent"))
}

// What waits for better times when the dispatcher is stopped is given back at
// once, for somebody else.
func TestStoppingDoesNotWaitForBetterTimes(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) {
		o.cfg.Streams.AckWait = time.Minute
		o.cfg.Delivery.DrainTimeout = time.Minute
		o.cfg.Delivery.Retry = dispatcher.Retry{Backoff: retry.Backoff{Initial: time.Minute, Max: time.Minute}, Budget: 5 * time.Minute}
	})
	b.Script(dataset, graphtest.Fault{Status: 500})
	b.publish(dataset, event("a"))
	b.await("it has failed once", func() bool { return b.Ledger().Sum().Requests == 1 })
	began := time.Now()
	b.stop(b.running)
	require.Less(t, time.Since(began), 25*time.Second)
	require.EqualValues(t, 1, b.books("capi.events.settled", attribute.String("outcome", "returned")))
	b.running = b.start()
	b.awaitAccepted(1)
	b.awaitQuiet()
	b.requireOnce("a")
	require.Zero(t, b.books("capi.events.maybe_sent"), "its claim was given up")
}

// A request that does not end by the drain deadline is cut off. The next worker
// knows that its events may have been sent.
func TestTheDrainDeadlineIsKept(t *testing.T) {
	t.Parallel()
	for policy, accepted := range map[dispatcher.OnUnknown]int{dispatcher.Resend: 2, dispatcher.DeadLetter: 1} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(o *options) {
				o.cfg.Delivery.DrainTimeout = 500 * time.Millisecond
				o.cfg.Delivery.OnUnknown = policy
				o.cfg.Streams.AckWait, o.graph.Timeout = 24*time.Second, 12*time.Second
			})
			b.Script(dataset, graphtest.Fault{Accept: true, AnswerDelay: time.Minute})
			b.publish(dataset, event("a"))
			b.awaitAccepted(1)
			began := time.Now()
			b.stop(b.running)
			require.Less(t, time.Since(began), 10*time.Second)
			b.running = b.start()
			b.awaitQuiet()
			require.Equal(t, accepted, b.Ledger().Sum().Events)
			if policy == dispatcher.DeadLetter {
				b.awaitLetters(1)
			}
		})
	}
}

// Whoever stops while Redis is away does not wait for it.
func TestStoppingWithoutRedis(t *testing.T) {
	t.Parallel()
	server := dedupetest.Start(t)
	b := setup(t, func(o *options) { o.redis = server.Client() })
	server.Kill()
	b.publish(dataset, event("a"))
	b.awaitCondition("redis", false)
	b.stop(b.running)
}
