package storage_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/storage"
)

// What is purged is what every consumer has acknowledged, and never more.
func TestOnlyWhatEveryConsumerHasAcknowledgedIsPurged(t *testing.T) {
	t.Parallel()
	explicit, all, none := durable("another"), durable("another"), durable("another")
	all.AckPolicy, none.AckPolicy = jetstream.AckAllPolicy, jetstream.AckNonePolicy
	filtered := durable("another")
	filtered.FilterSubject = "capi.events.2"
	for name, tc := range map[string]struct {
		published int
		consume   func(b *harness)
		first     uint64 // message that is left
	}{
		"nobody reads":             {90, func(*harness) {}, 1},
		"only others read":         {90, func(b *harness) { b.consumer(explicit, 90) }, 1},
		"nothing acknowledged":     {90, func(b *harness) { b.consumer(durable("ours"), 0) }, 1},
		"half is acknowledged":     {90, func(b *harness) { b.consumer(durable("ours"), 45) }, 46},
		"all is acknowledged":      {90, func(b *harness) { b.consumer(durable("ours"), 90) }, 91},
		"one is not":               {90, func(b *harness) { b.consumer(durable("ours"), 45, 7) }, 7},
		"the first is not":         {90, func(b *harness) { b.consumer(durable("ours"), 45, 1) }, 1},
		"there is room":            {79, func(b *harness) { b.consumer(durable("ours"), 79) }, 1},
		"another is behind":        {90, func(b *harness) { b.consumer(durable("ours"), 90); b.consumer(explicit, 10) }, 11},
		"another is new":           {90, func(b *harness) { b.consumer(durable("ours"), 90); b.consumer(explicit, 0) }, 1},
		"another acknowledges all": {90, func(b *harness) { b.consumer(durable("ours"), 90); b.consumer(all, 20, 20) }, 20},
		"another needs none":       {90, func(b *harness) { b.consumer(durable("ours"), 90); b.consumer(none, 30) }, 31},
		"another wants others":     {90, func(b *harness) { b.consumer(durable("ours"), 90); b.consumer(filtered, 0) }, 1},
		"a push consumer is behind": {90, func(b *harness) {
			b.consumer(durable("ours"), 90)
			push := durable("pushed")
			push.DeliverSubject = "somewhere"
			_, err := b.js.CreatePushConsumer(b.t.Context(), "CAPI", push)
			require.NoError(b.t, err)
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, &server.Options{})
			b.publish("capi.events.1", tc.published)
			tc.consume(b)
			for range 2 {
				b.watch.Look(t.Context())
				messages, first := b.left()
				require.Equal(t, tc.first, first)
				require.Equal(t, uint64(tc.published)+1-tc.first, messages)
			}
			require.Empty(t, b.logged.FilterMessageSnippet("cannot be purged").All())
		})
	}
}

// In a cluster each consumer is somewhere else. One whose servers are gone may
// have acknowledged nothing, so that nothing is purged.
func TestInAClusterOnlyWhatIsKnownToBeAcknowledgedIsPurged(t *testing.T) {
	t.Parallel()
	cluster := natstest.StartCluster(t, 3)
	b := &harness{t: t, js: cluster.Nodes[0].JetStream()}
	_, err := b.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "CAPI", Subjects: []string{"capi.events.>"}, MaxBytes: limit, Replicas: 3})
	require.NoError(t, err)
	b.publish("capi.events.1", 90)
	b.consumer(durable("ours"), 90)
	lonely := durable("lonely")
	lonely.Replicas = 1
	b.consumer(lonely, 60)
	watch := storage.New(b.js, zap.NewNop(), storage.Stream{Name: "CAPI", Label: "events", Consumer: "ours"})
	watch.Look(t.Context())
	_, first := b.left()
	require.EqualValues(t, 61, first)

	b.publish("capi.events.1", 55)
	ours, err := b.js.Consumer(t.Context(), "CAPI", "ours")
	require.NoError(t, err)
	for _, msg := range b.fetch(ours, 55) {
		require.NoError(t, msg.DoubleAck(t.Context()))
	}
	consumer, err := b.js.Consumer(t.Context(), "CAPI", "lonely")
	require.NoError(t, err)
	var gone int
	_, err = fmt.Sscanf(consumer.CachedInfo().Cluster.Leader, "node-%d", &gone)
	require.NoError(t, err)
	cluster.Nodes[gone-1].Stop()
	b.js = cluster.Nodes[gone%3].JetStream()
	require.Eventually(t, func() bool {
		info, err := b.js.Stream(t.Context(), "CAPI")
		return err == nil && info.CachedInfo().State.Msgs == 85
	}, time.Minute, 20*time.Millisecond, "two of three have a leader")
	watch = storage.New(b.js, zap.NewNop(), storage.Stream{Name: "CAPI", Label: "events", Consumer: "ours"})
	watch.Look(t.Context())
	reason, _ := watch.Filling()
	require.Regexp(t, "nothing can be purged|nobody can tell what consumer lonely has acknowledged", reason)
	_, first = b.left()
	require.EqualValues(t, 61, first)
}

// While messages are published, handed out and acknowledged out of order, none
// that is not acknowledged is purged.
func TestNoUnacknowledgedMessageIsPurged(t *testing.T) {
	t.Parallel()
	b := setup(t, &server.Options{})
	consumer, err := b.js.CreateConsumer(t.Context(), "CAPI", durable("ours"))
	require.NoError(t, err)
	unacknowledged := make(map[uint64]jetstream.Msg)
	purged := false
	for round := range 60 {
		b.publish("capi.events.1", 5)
		batch, err := consumer.FetchNoWait(7)
		require.NoError(t, err)
		for msg := range batch.Messages() {
			meta, err := msg.Metadata()
			require.NoError(t, err)
			unacknowledged[meta.Sequence.Stream] = msg
		}
		for sequence, msg := range unacknowledged { // in any order
			if len(unacknowledged) > 20 || sequence%7 == uint64(round%7) {
				require.NoError(t, msg.DoubleAck(t.Context()))
				delete(unacknowledged, sequence)
			}
		}
		b.watch.Look(t.Context())
		stream, err := b.js.Stream(t.Context(), "CAPI")
		require.NoError(t, err)
		purged = purged || stream.CachedInfo().State.FirstSeq > 1
		for sequence := range unacknowledged {
			_, err := stream.GetMsg(t.Context(), sequence)
			require.NoError(t, err, "message %d", sequence)
		}
	}
	require.True(t, purged)
}
