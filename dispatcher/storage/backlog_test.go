package storage_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// What waits is counted until it is acknowledged, and so is how long the oldest of
// it has waited, whatever has been acknowledged behind it.
func TestWhatWaitsIsSeen(t *testing.T) {
	t.Parallel()
	b := setup(t, &server.Options{})
	stream, err := b.js.UpdateStream(t.Context(), jetstream.StreamConfig{
		Name: "CAPI", Subjects: []string{"capi.events.>"}, MaxBytes: limit, Discard: jetstream.DiscardNew, AllowDirect: true,
	})
	require.NoError(t, err)
	b.watch.Look(t.Context())
	require.Empty(t, b.series("capi.backlog.messages"), "there is no consumer yet")
	config := durable("ours")
	config.FilterSubject = "capi.events.>"
	consumer, err := b.js.CreateConsumer(t.Context(), "CAPI", config)
	require.NoError(t, err)
	b.publish("capi.events.1", 3)
	b.publish("capi.dead.1", 2)

	b.requireBacklog(3, 0)
	require.Greater(t, b.series("capi.backlog.oldest")["events"], 0.0)
	require.InDelta(t, 3, b.series("capi.store.published")["events"], 0)
	require.Equal(t, map[string]float64{"events": 3, "dead_letters": 2}, b.series("capi.store.messages"))

	messages := b.fetch(consumer, 2)
	require.NoError(t, messages[1].DoubleAck(t.Context()))
	b.requireBacklog(1, 1)
	oldest, err := stream.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	waited := time.Since(oldest.Time).Seconds()
	require.InDelta(t, waited, b.series("capi.backlog.oldest")["events"], 1)
	require.GreaterOrEqual(t, b.series("capi.backlog.oldest")["events"], waited)

	require.NoError(t, messages[0].DoubleAck(t.Context()))
	require.NoError(t, b.fetch(consumer, 1)[0].DoubleAck(t.Context()))
	b.requireBacklog(0, 0)
	require.Zero(t, b.series("capi.backlog.oldest")["events"])
	require.InDelta(t, 3, b.series("capi.store.published")["events"], 0, "ever")
}

func (b *harness) requireBacklog(pending, inFlight float64) {
	b.t.Helper()
	b.watch.Look(b.t.Context())
	require.Equal(b.t, map[string]float64{"pending events": pending, "in_flight events": inFlight}, b.series("capi.backlog.messages"))
}

// Without the right to look at the oldest message, or where the stream does not allow
// it, the rest is seen.
func TestTheOldestMessageMayNotBeLookedAt(t *testing.T) {
	t.Parallel()
	b := setup(t, &server.Options{Users: users(server.Permissions{
		Publish: &server.SubjectPermission{Deny: []string{"$JS.API.DIRECT.GET.>", "$JS.API.STREAM.MSG.GET.>"}},
	})}, nats.UserInfo("watcher", "x"))
	b.consumer(durable("ours"), 0)
	b.publish("capi.events.1", 3)
	b.requireBacklog(3, 0)
	require.Empty(t, b.series("capi.backlog.oldest"))
	require.Len(t, b.logged.FilterMessageSnippet("the right to publish $JS.API.DIRECT.GET.CAPI").All(), 1)
	b.requireBacklog(3, 0)
	require.Len(t, b.logged.FilterMessageSnippet("the right to publish $JS.API.DIRECT.GET.CAPI").All(), 1, "said once")
}
