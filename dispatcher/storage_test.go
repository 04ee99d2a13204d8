package dispatcher_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
)

// small makes a stream that a few events fill.
func small(t *testing.T, server *natstest.Server, name, subject string, size int64) {
	t.Helper()
	_, err := server.JetStream().CreateStream(t.Context(), jetstream.StreamConfig{
		Name: name, Subjects: []string{subject}, MaxBytes: size, Discard: jetstream.DiscardNew, Duplicates: time.Minute,
	})
	require.NoError(t, err)
}

// A stream of events with a limit does not fill up with what has been sent: twice
// as much as it holds goes through it.
func TestAStreamWithALimitIsEmptiedOfWhatIsDone(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	small(t, server, "CAPI", "capi.events.>", 500_000)
	b := setup(t, func(o *options) { o.nats = server })
	filler := strings.Repeat("x", 20_000)
	const n = 50
	for _, e := range events(n) {
		b.await("there is room", func() bool {
			body := strings.Replace(e, `{"event_name"`, `{"filler":"`+filler+`","event_name"`, 1)
			_, err := b.js.Publish(t.Context(), "capi.events."+dataset, []byte(body))
			return err == nil
		})
	}
	b.awaitAccepted(n)
	b.awaitQuiet()
	b.requireNoneTwice()
}

// A full stream of dead letters loses nothing: what cannot be stored waits in
// the parked stream, until there is room. Before that it is said, and is no reason to
// take the worker out.
func TestAFullStreamOfDeadLettersLosesNothing(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	small(t, server, "CAPI_DLQ", "capi.dead.>", 100_000)
	b := setup(t, func(o *options) { o.nats = server })
	filler := strings.Repeat("x", 8_500)
	bad := func() string { return `{"event_name":"Purchase","filler":"` + filler + `"}` }
	for range 10 {
		b.publish(dataset, bad())
	}
	b.awaitLetters(10)
	b.await("the worker has seen it", func() bool { return !b.condition("storage").OK })
	require.Contains(t, b.condition("storage").Reason, "stream CAPI_DLQ holds ")
	require.Contains(t, b.condition("storage").Reason, "100 % of the messages for dataset "+dataset)
	require.True(t, b.condition("storage").Warning)
	require.NotContains(t, b.reportedConditions(), "storage", "an alert tells of these that no events flow")
	require.True(t, b.running.ready())

	b.publish(dataset, bad(), bad(), event("good"))
	b.awaitCondition("exits", false)
	b.awaitAccepted(1)
	letters, err := b.js.Stream(t.Context(), "CAPI_DLQ")
	require.NoError(t, err)
	for number := range uint64(5) {
		require.NoError(t, letters.SecureDeleteMsg(t.Context(), number+1))
	}
	b.await("all are dead letters", func() bool { return b.settledAs("dead_lettered") == 12 })
	b.awaitQuiet()
	b.awaitCondition("exits", true)
}

// reportedConditions are the conditions that the metrics tell of.
func (b *harness) reportedConditions() (names []string) {
	b.t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(b.t, b.metrics.Collect(b.t.Context(), &all))
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if data, ok := m.Data.(metricdata.Gauge[int64]); ok && m.Name == "capi.condition" {
				for _, point := range data.DataPoints {
					name, _ := point.Attributes.Value("condition")
					names = append(names, name.AsString())
				}
			}
		}
	}
	require.Contains(b.t, names, "exits")
	return names
}
