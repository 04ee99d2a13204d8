package dispatcher_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
)

// Whatever the retention of the events' stream, the path is the same.
func TestEveryRetentionWorks(t *testing.T) {
	t.Parallel()
	for _, retention := range []jetstream.RetentionPolicy{jetstream.LimitsPolicy, jetstream.InterestPolicy, jetstream.WorkQueuePolicy} {
		t.Run(retention.String(), func(t *testing.T) {
			t.Parallel()
			server := natstest.Start(t)
			_, err := server.JetStream().CreateStream(t.Context(), jetstream.StreamConfig{
				Name: "CAPI", Subjects: []string{"capi.events.>"}, Retention: retention,
				MaxAge: streams.Default().MaxAge, Duplicates: 100 * time.Millisecond,
			})
			require.NoError(t, err)
			b := setup(t, func(o *options) { o.nats = server })
			b.publish(dataset, event("a"), event("a"), poison("bad"), event("b"))
			b.awaitAccepted(2)
			b.awaitLetters(1)
			b.awaitQuiet()
			b.requireOnce("a", "b")
		})
	}
}

func TestWhatAPersonHasToMendEndsTheRun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stop(b.running)
	for _, stream := range []string{"CAPI", "CAPI_PARKED"} {
		require.NoError(t, b.js.DeleteStream(t.Context(), stream))
	}
	b.options.cfg.Streams.Manage = false
	w := b.launch()
	var setup *streams.SetupError
	require.ErrorAs(t, <-w.done, &setup)
	w.stop = nil
}
