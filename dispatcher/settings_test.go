package dispatcher_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/storage"
)

// Somebody changes a stream while the worker runs, so that it may lose events.
// That is noticed, said once, and a condition that takes no worker out, until it
// is set right.
func TestAStreamThatIsChangedIsNoticed(t *testing.T) {
	t.Parallel()
	core, logged := observer.New(zap.WarnLevel)
	b := setup(t, func(o *options) { o.log = zap.New(core) })
	require.True(t, b.condition("settings").OK)
	b.await("it has looked", func() bool { return b.books("capi.store.limit", attribute.String("store", "dead_letters")) > 0 })
	reasons := make(map[string]string)
	var right []jetstream.StreamConfig
	update := func(cfg jetstream.StreamConfig) {
		_, err := b.js.UpdateStream(t.Context(), cfg)
		require.NoError(t, err)
	}
	for name, tc := range map[string]struct {
		reason string
		change func(*jetstream.StreamConfig)
	}{
		"CAPI":        {"stream CAPI discards its oldest messages", func(c *jetstream.StreamConfig) { c.Discard, c.MaxMsgs = jetstream.DiscardOld, 1000 }},
		"CAPI_PARKED": {"stream CAPI_PARKED keeps messages for 1h0m0s only", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }},
		"CAPI_DLQ":    {`stream CAPI_DLQ has the subjects ["capi.elsewhere.>"]`, func(c *jetstream.StreamConfig) { c.Subjects = []string{"capi.elsewhere.>"} }},
	} {
		stream, err := b.js.Stream(t.Context(), name)
		require.NoError(t, err)
		wrong := stream.CachedInfo().Config
		right, reasons[name] = append(right, wrong), tc.reason
		tc.change(&wrong)
		update(wrong)
	}
	changed := time.Now()
	for name, reason := range reasons {
		b.await(name+" is noticed", func() bool { return strings.Contains(b.condition("settings").Reason, reason) })
	}
	require.Less(t, time.Since(changed), time.Minute)
	require.True(t, b.condition("settings").Warning)
	require.True(t, b.running.ready(), "events flow")
	require.NotContains(t, b.reportedConditions(), "settings", "an alert tells of these that no events flow")
	b.await("it has looked again", func() bool { return time.Since(changed) > 2*storage.Often })
	for _, cfg := range right {
		update(cfg)
	}
	b.awaitCondition("settings", true)
	require.Len(t, logged.FilterMessage("a stream's settings have been changed").All(), 3, "each once")
}
