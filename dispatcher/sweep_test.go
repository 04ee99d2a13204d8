package dispatcher_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// The time of parked events comes while NATS' store is full. The server does not
// bring them back afterwards; they are called back all the same, without a
// restart of anything.
func TestEventsDueWhileTheStoreWasFullComeBack(t *testing.T) {
	t.Parallel()
	const parked, store, longest = 100, 3 << 20, 3 * time.Second
	b := setup(t, func(o *options) {
		o.nats = natstest.StartWith(t, &server.Options{JetStreamMaxStore: store})
		o.cfg.Streams.DeadLetterMaxBytes = 0
		o.cfg.Delivery.Park = retry.Backoff{Initial: time.Second, Max: longest}
	})
	b.Always(dataset, graphtest.Fault{Error: graphtest.PermissionMissing()})
	for i := range parked {
		b.publish(dataset, padded(string(rune('a'+i%26))+strings.Repeat("x", i), 900))
	}
	b.await("all are parked", func() bool { return b.streamSize("CAPI_PARKED") == parked })
	b.stop(b.running) // nobody calls them back while the store is full
	_, err := b.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "FILL", Subjects: []string{"fill"}})
	require.NoError(t, err)
	filler := make([]byte, 10_000)
	for err == nil {
		_, err = b.js.Publish(t.Context(), "fill", filler)
	}
	for err = nil; err == nil; {
		_, err = b.js.Publish(t.Context(), "fill", []byte("to the last byte, nearly"))
	}
	due := time.Now().Add(longest*9/8 + 2*time.Second)
	b.await("all have been due, and none could be stored", func() bool { return time.Now().After(due) })
	require.NoError(t, b.js.DeleteStream(t.Context(), "FILL"))
	b.Clear(dataset)
	b.running = b.start()
	b.awaitAccepted(parked)
	b.awaitQuiet()
	b.requireNoneTwice()
	require.True(t, b.condition("overdue").OK)
}
