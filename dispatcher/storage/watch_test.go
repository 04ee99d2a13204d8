package storage_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is what the streams of these tests may hold.
const limit = 1 << 20

// harness is a server with a stream of events and one of dead letters, and what
// looks after them.
type harness struct {
	t       *testing.T
	js      jetstream.JetStream
	watch   *storage.Watch
	logged  *observer.ObservedLogs
	metrics *metric.ManualReader
}

func setup(t *testing.T, options *server.Options, watcher ...nats.Option) *harness {
	t.Helper()
	running := natstest.StartWith(t, options)
	var owner []nats.Option
	if len(options.Users) > 0 {
		owner = append(owner, nats.UserInfo("owner", "x"))
	}
	b := &harness{t: t, js: running.JetStream(owner...), metrics: metric.NewManualReader()}
	for name, subject := range map[string]string{"CAPI": "capi.events.>", "CAPI_DLQ": "capi.dead.>"} {
		_, err := b.js.CreateStream(t.Context(), jetstream.StreamConfig{
			Name: name, Subjects: []string{subject}, MaxBytes: limit, Discard: jetstream.DiscardNew, AllowDirect: true,
		})
		require.NoError(t, err)
	}
	core, logged := observer.New(zapcore.WarnLevel)
	b.logged = logged
	b.watch = storage.New(running.JetStream(append(owner, watcher...)...), zap.New(core),
		storage.Stream{Name: "CAPI", Label: "events", Subject: "capi.events", Consumer: "ours"},
		storage.Stream{Name: "CAPI_DLQ", Label: "dead_letters", Subject: "capi.dead"},
	)
	require.NoError(t, b.watch.Observe(metric.NewMeterProvider(metric.WithReader(b.metrics)).Meter("test"), time.Now))
	return b
}

// message fills a hundredth of a stream, with what NATS stores beside it.
var message = []byte(strings.Repeat("x", limit/100-40))

// publish puts so many messages on a subject; a stream has room for a hundred.
func (b *harness) publish(subject string, n int) {
	b.t.Helper()
	for range n {
		_, err := b.js.Publish(b.t.Context(), subject, message)
		require.NoError(b.t, err)
	}
}

// consumer makes a consumer, and lets it acknowledge so many messages; one that
// is handed on is left unacknowledged.
func (b *harness) consumer(cfg jetstream.ConsumerConfig, acknowledged int, skip ...int) {
	b.t.Helper()
	consumer, err := b.js.CreateConsumer(b.t.Context(), "CAPI", cfg)
	require.NoError(b.t, err)
	for number := 1; number <= acknowledged; {
		for _, msg := range b.fetch(consumer, acknowledged+1-number) {
			if !slices.Contains(skip, number) && cfg.AckPolicy != jetstream.AckNonePolicy {
				require.NoError(b.t, msg.DoubleAck(b.t.Context()))
			}
			number++
		}
	}
}

// fetch gets messages that are there: none only where a node of a cluster has
// not heard yet which of the others has the consumer.
func (b *harness) fetch(consumer jetstream.Consumer, n int) []jetstream.Msg {
	b.t.Helper()
	batch, err := consumer.Fetch(n)
	require.NoError(b.t, err)
	var messages []jetstream.Msg
	for msg := range batch.Messages() {
		messages = append(messages, msg)
	}
	if len(messages) < n {
		require.ErrorIs(b.t, batch.Error(), nats.ErrNoResponders)
	}
	return messages
}

func durable(name string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{Durable: name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Hour}
}

// left is how many messages the events' stream has, and the first of them.
func (b *harness) left() (messages, first uint64) {
	b.t.Helper()
	stream, err := b.js.Stream(b.t.Context(), "CAPI")
	require.NoError(b.t, err)
	return stream.CachedInfo().State.Msgs, stream.CachedInfo().State.FirstSeq
}

// series are the values of a metric, by their labels.
func (b *harness) series(name string) map[string]float64 {
	b.t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(b.t, b.metrics.Collect(b.t.Context(), &all))
	values := make(map[string]float64)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != name {
				continue
			}
			switch data := m.Data.(type) {
			case metricdata.Gauge[int64]:
				for _, point := range data.DataPoints {
					values[words(point.Attributes)] = float64(point.Value)
				}
			case metricdata.Sum[int64]:
				for _, point := range data.DataPoints {
					values[words(point.Attributes)] = float64(point.Value)
				}
			case metricdata.Gauge[float64]:
				for _, point := range data.DataPoints {
					values[words(point.Attributes)] = point.Value
				}
			}
		}
	}
	return values
}

func words(set attribute.Set) string {
	var all []string
	for _, label := range set.ToSlice() {
		all = append(all, label.Value.AsString())
	}
	return strings.Join(all, " ")
}

// A store that runs full is seen before it is, with whose events they are.
func TestAFullStreamIsSeenComing(t *testing.T) {
	t.Parallel()
	b := setup(t, &server.Options{})
	b.consumer(durable("ours"), 0)
	b.publish("capi.events.1", 60)
	b.publish("capi.events.2", 15)
	b.watch.Look(t.Context())
	reason, _ := b.watch.Filling()
	require.Empty(t, reason)
	require.Empty(t, b.series("capi.store.largest_share"))

	b.publish("capi.events.2", 5)
	b.watch.Look(t.Context())
	reason, since := b.watch.Filling()
	require.Regexp(t, `^stream CAPI holds \d+\.?\d*kB of 1\.049MB, 75 % of the messages for dataset 1, kept by consumer ours, which has acknowledged all up to message 0$`, reason)
	require.WithinDuration(t, time.Now(), since, time.Minute)
	require.Equal(t, map[string]float64{"1 events": 0.75}, b.series("capi.store.largest_share"))
	require.Len(t, b.logged.FilterMessage("room runs short in NATS").All(), 1)

	used, limits := b.series("capi.store.used"), b.series("capi.store.limit")
	require.Greater(t, used["events"], 0.8*limits["events"])
	require.Zero(t, used["dead_letters"])
	require.Equal(t, map[string]float64{"events": limit, "dead_letters": limit}, limits)
	require.Contains(t, used, "account", "which has no limit")

	require.NoError(t, b.js.DeleteConsumer(t.Context(), "CAPI", "ours"))
	b.consumer(durable("ours"), 80)
	b.watch.Look(t.Context())
	reason, _ = b.watch.Filling()
	require.Empty(t, reason)
	require.Empty(t, b.series("capi.store.largest_share"))
}

// Dead letters are never purged.
func TestDeadLettersAreOnlyCounted(t *testing.T) {
	t.Parallel()
	b := setup(t, &server.Options{})
	b.publish("capi.dead.7.invalid", 50)
	b.publish("capi.dead.7.refused", 40)
	b.publish("capi.dead.unknown.malformed", 5)
	b.watch.Look(t.Context())
	reason, _ := b.watch.Filling()
	require.Contains(t, reason, "stream CAPI_DLQ holds ")
	require.Contains(t, reason, "95 % of the messages for dataset 7")
	stream, err := b.js.Stream(t.Context(), "CAPI_DLQ")
	require.NoError(t, err)
	require.EqualValues(t, 95, stream.CachedInfo().State.Msgs)
}

// Names that producers make up get neither into metrics nor into reasons.
func TestMadeUpSubjectsAreOthers(t *testing.T) {
	t.Parallel()
	b := setup(t, &server.Options{})
	b.consumer(durable("ours"), 0)
	for i := range 84 {
		b.publish(fmt.Sprintf("capi.events.john-%d@example.com", i), 1)
	}
	b.publish("capi.events.auto", 6)
	b.watch.Look(t.Context())
	reason, _ := b.watch.Filling()
	require.Contains(t, reason, "93 % of the messages for dataset other")
	require.NotContains(t, reason, "example")
	require.Len(t, b.series("capi.store.largest_share"), 1)
}

func users(watcher server.Permissions) []*server.User {
	return []*server.User{
		{Username: "owner", Password: "x"},
		{Username: "watcher", Password: "x", Permissions: &watcher},
	}
}

// Without the rights to purge or to see the account, that is said once, and all
// else goes on.
func TestWithoutTheRights(t *testing.T) {
	t.Parallel()
	b := setup(t, &server.Options{Users: users(server.Permissions{
		Publish: &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.PURGE.>", "$JS.API.INFO"}},
	})}, nats.UserInfo("watcher", "x"))
	b.publish("capi.events.1", 90)
	b.consumer(durable("ours"), 90)
	for range 3 {
		b.watch.Look(t.Context())
	}
	messages, _ := b.left()
	require.EqualValues(t, 90, messages)
	reason, _ := b.watch.Filling()
	require.Contains(t, reason, "100 % of the messages for dataset 1, and nothing can be purged: purging stream CAPI: ")
	require.Len(t, b.logged.FilterMessageSnippet("cannot be purged").All(), 1)
	require.Len(t, b.logged.FilterMessageSnippet("the right to publish $JS.API.INFO").All(), 1)
	require.NotContains(t, b.series("capi.store.used"), "account")
}

// The rights that docs/security.md names are enough.
func TestWithNoMoreThanTheRights(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../docs/security.md")
	require.NoError(t, err)
	rights := []string{"$JS.API.INFO", "$JS.API.DIRECT.GET.CAPI", "$JS.API.CONSUMER.NAMES.CAPI", "$JS.API.CONSUMER.LIST.CAPI", "$JS.API.STREAM.PURGE.CAPI"}
	for _, right := range rights {
		require.Contains(t, string(guide), "`"+right+"`")
	}
	b := setup(t, &server.Options{Users: users(server.Permissions{
		Publish:   &server.SubjectPermission{Allow: append(rights, "$JS.API.STREAM.INFO.*", "$JS.API.CONSUMER.INFO.CAPI.ours")},
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
	})}, nats.UserInfo("watcher", "x"))
	b.publish("capi.events.1", 90)
	b.consumer(durable("ours"), 90)
	b.watch.Look(t.Context())
	messages, _ := b.left()
	require.Zero(t, messages)
	require.Empty(t, b.logged.All())
	require.Contains(t, b.series("capi.store.used"), "account")
}

// accountOf is an account of which other things are told.
type accountOf struct {
	jetstream.JetStream

	info jetstream.AccountInfo
}

func (a accountOf) AccountInfo(context.Context) (*jetstream.AccountInfo, error) { return &a.info, nil }

// Where the account, or a tier of it, has a limit, that is watched as well.
func TestTheAccountIsWatched(t *testing.T) {
	t.Parallel()
	tier := func(used uint64, limit int64) jetstream.Tier {
		return jetstream.Tier{Store: used, Limits: jetstream.AccountLimits{MaxStore: limit}}
	}
	for name, tc := range map[string]struct {
		info   jetstream.AccountInfo
		reason string
	}{
		"unlimited":       {jetstream.AccountInfo{Tier: tier(1e12, -1)}, ""},
		"room":            {jetstream.AccountInfo{Tier: tier(79e6, 100e6)}, ""},
		"runs full":       {jetstream.AccountInfo{Tier: tier(80e6, 100e6)}, "the account holds 80MB of 100MB"},
		"tiers with room": {jetstream.AccountInfo{Tiers: map[string]jetstream.Tier{"R1": tier(1e6, 100e6), "R3": tier(2e6, 100e6)}}, ""},
		"a tier":          {jetstream.AccountInfo{Tiers: map[string]jetstream.Tier{"R1": tier(80e6, 100e6), "R3": tier(90e6, 100e6)}}, "tier R3 of the account holds 90MB of 100MB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := natstest.Start(t).JetStream()
			watch := storage.New(accountOf{js, tc.info}, zap.NewNop())
			watch.Look(t.Context())
			reason, _ := watch.Filling()
			require.Equal(t, tc.reason, reason)
		})
	}
}

// A server that is away changes nothing of what is known.
func TestWhatWasSeenIsRemembered(t *testing.T) {
	t.Parallel()
	b := setup(t, &server.Options{})
	b.publish("capi.dead.7.invalid", 90)
	b.watch.Look(t.Context())
	before, _ := b.watch.Filling()
	require.NotEmpty(t, before)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.watch.Look(ctx)
	after, _ := b.watch.Filling()
	require.Equal(t, before, after)
}
