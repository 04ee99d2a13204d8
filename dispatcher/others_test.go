package dispatcher_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
)

// otherSettings are what workers have to agree on, all of them changed.
func otherSettings(b *harness) {
	b.options.cfg.Identity = dispatcher.ByEventID
	b.options.cfg.Streams.AckWait = 40 * time.Second
	b.options.cfg.Streams.MaxAckPending = 5000
}

func (b *harness) consumerConfig(stream string) jetstream.ConsumerConfig {
	b.t.Helper()
	consumer, err := b.js.Consumer(b.t.Context(), stream, "capi-dispatcher")
	require.NoError(b.t, err)
	return consumer.CachedInfo().Config
}

// settingsOf returns the condition of a dispatcher that tells of other settings.
func settingsOf(w *worker) (found health.Condition) {
	for _, c := range w.Conditions() {
		if c.Name == "workers" {
			found = c
		}
	}
	return found
}

// The workers of an update have other settings than those before. A new one is
// ready, so that the old ones are stopped, leaves the events to them, and goes on
// with what they leave: nothing is lost, and nothing sent twice.
func TestWorkersWithOtherSettingsWaitForTheOthersToGo(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) { o.cfg.Streams.AckWait = 20 * time.Second })
	old := b.running
	publish := func(part string, n, copies int) {
		for i := range n {
			for range copies {
				b.publish(dataset, event(fmt.Sprint(part, i)))
			}
		}
	}
	publish("before", 50, 2)
	otherSettings(b)
	next := b.start()
	require.Equal(t, health.Condition{Name: "workers", Warning: true}, withoutReason(settingsOf(next)))
	require.Contains(t, settingsOf(next).Reason, "they have nats.ack_wait=20s nats.max_ack_pending=20000 dedupe.key=event, "+
		"and ours are nats.ack_wait=40s nats.max_ack_pending=5000 dedupe.key=event_id")
	require.True(t, settingsOf(old).OK)
	publish("beside", 50, 2) // only workers that agree know copies for such
	b.awaitAccepted(100)
	b.awaitQuiet()
	for _, stream := range []string{"CAPI", "CAPI_PARKED"} {
		require.Equal(t, 20*time.Second, b.consumerConfig(stream).AckWait, "it is the others'")
	}
	publish("handed over", 200, 1)
	b.stop(old)
	b.awaitAccepted(300)
	b.await("it has both", func() bool { return settingsOf(next).OK })
	b.awaitQuiet()
	_, again := b.Ledger().Distinct()
	require.Zero(t, again)
	for _, stream := range []string{"CAPI", "CAPI_PARKED"} {
		have := b.consumerConfig(stream)
		require.Equal(t, 40*time.Second, have.AckWait)
		require.Equal(t, 5000, have.MaxAckPending)
		require.Equal(t, "nats.ack_wait=40s nats.max_ack_pending=5000 dedupe.key=event_id", have.Metadata["capi-dispatcher-settings"])
	}
	require.Zero(t, b.streamSize("CAPI_DLQ"))
}

func withoutReason(c health.Condition) health.Condition {
	c.Reason, c.Since = "", time.Time{}
	return c
}

// What says nothing of settings has been made by somebody else, or by a worker of
// before: it is adopted. What else stands there stays.
func TestAConsumerThatSaysNothingIsAdopted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stop(b.running)
	for _, name := range []string{"CAPI", "CAPI_PARKED"} {
		cfg := b.consumerConfig(name)
		cfg.Metadata = map[string]string{"team": "shop"}
		_, err := b.js.UpdateConsumer(t.Context(), name, cfg)
		require.NoError(t, err)
	}
	otherSettings(b)
	w := b.start()
	require.True(t, settingsOf(w).OK)
	have := b.consumerConfig("CAPI")
	require.Equal(t, 40*time.Second, have.AckWait)
	require.Equal(t, "shop", have.Metadata["team"])
	require.Contains(t, have.Metadata["capi-dispatcher-settings"], "dedupe.key=event_id")
}

// Who may change nothing compares all the same.
func TestAVerifyingWorkerComparesSettings(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stop(b.running)
	b.options.cfg.Streams.Manage = false
	b.running = b.start()
	require.True(t, b.condition("workers").OK)
	b.stop(b.running)
	b.options.cfg.Identity = dispatcher.ByEventID
	b.running = b.start()
	b.publish(dataset, event("a"))
	require.False(t, b.condition("workers").OK)
	require.Zero(t, b.Ledger().Sum().Requests)
}

// Neither does whoever sets the streams up change what is in use.
func TestConsumersInUseAreNotChanged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cfg := streams.Default()
	cfg.AckWait = 40 * time.Second
	set := streams.New(cfg, b.js, func(text string) { t.Error(text) }).KeyedBy(string(dispatcher.ByEvent))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var others *streams.OtherSettingsError
	require.ErrorAs(t, set.EnsureConsumers(ctx), &others)
	require.Equal(t, time.Minute, b.consumerConfig("CAPI").AckWait)
	var warnings []string
	for _, found := range set.Inspect(t.Context(), nil) {
		warnings = append(warnings, found.Warnings...)
	}
	require.Len(t, warnings, 2, warnings)
	require.Contains(t, warnings[0], "workers with ours wait for theirs to go")
	b.stop(b.running)
	require.NoError(t, set.EnsureConsumers(t.Context()))
	require.Equal(t, 40*time.Second, b.consumerConfig("CAPI").AckWait)
}
