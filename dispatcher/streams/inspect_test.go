package streams_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
)

// Whether parked events can be called back is found out before they have to be.
func TestInspectReadsParkedEvents(t *testing.T) {
	t.Parallel()
	users := []*server.User{
		{Username: "owner", Password: "x"},
		{Username: "worker", Password: "x", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{"$JS.API.DIRECT.GET.>"}},
		}},
	}
	running := natstest.StartWith(t, &server.Options{Users: users})
	owner, worker := running.JetStream(nats.UserInfo("owner", "x")), running.JetStream(nats.UserInfo("worker", "x"))
	require.NoError(t, streams.New(streams.Default(), owner, nil).Ensure(t.Context()))

	require.Empty(t, parkedWarnings(t, owner))
	warnings := parkedWarnings(t, worker)
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "right to publish $JS.API.DIRECT.GET.CAPI_PARKED?")

	stream, err := owner.Stream(t.Context(), "CAPI_PARKED")
	require.NoError(t, err)
	cfg := stream.CachedInfo().Config
	cfg.AllowDirect = false
	_, err = owner.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	warnings = parkedWarnings(t, owner)
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "nats stream edit CAPI_PARKED --allow-direct")
}

func parkedWarnings(t *testing.T, js jetstream.JetStream) []string {
	t.Helper()
	for _, found := range streams.New(streams.Default(), js, nil).Inspect(t.Context(), nil) {
		if found.Name == "stream CAPI_PARKED" {
			require.NoError(t, found.Err)
			return found.Warnings
		}
	}
	t.Fatal("the stream is not looked at")
	return nil
}

// What is missing is missing, and nothing is made; what is wrong is said of each.
func TestInspectChangesNothing(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream()
	set := streams.New(streams.Default(), js, nil)
	look := func() (found []streams.Inspection, names []string) {
		found = set.Inspect(t.Context(), nil)
		for _, one := range found {
			names = append(names, one.Name)
		}
		return found, names
	}
	for range 2 {
		found, names := look()
		require.Equal(t, []string{
			"stream CAPI", "stream CAPI_PARKED", "stream CAPI_DLQ",
			"consumer capi-dispatcher on stream CAPI", "consumer capi-dispatcher on stream CAPI_PARKED",
		}, names)
		for _, one := range found {
			require.True(t, one.Missing(), one.Name)
		}
	}
	require.NoError(t, set.Ensure(t.Context()))
	found, _ := look()
	require.True(t, found[3].Missing(), "its stream is there")
	_, err := js.CreatePushConsumer(t.Context(), "CAPI", jetstream.ConsumerConfig{Durable: "capi-dispatcher", DeliverSubject: "x"})
	require.NoError(t, err)
	_, err = js.CreateConsumer(t.Context(), "CAPI_PARKED", jetstream.ConsumerConfig{
		Durable: "capi-dispatcher", FilterSubject: "capi.parked.due.>", AckPolicy: jetstream.AckExplicitPolicy, BackOff: []time.Duration{30 * time.Second},
		Metadata: map[string]string{"capi-dispatcher-settings": "theirs"},
	})
	require.NoError(t, err)
	found, _ = look()
	for _, one := range found {
		require.False(t, one.Missing(), one.Name)
	}
	var setup *streams.SetupError
	require.ErrorAs(t, found[3].Err, &setup)
	require.EqualError(t, setup, "consumer capi-dispatcher on stream CAPI is a push consumer; a pull consumer is needed")
	require.NoError(t, found[4].Err)
	require.Equal(t, []string{
		"consumer capi-dispatcher on stream CAPI_PARKED has a backoff of its own, which stretches the dispatcher's delays; remove it",
	}, found[4].Warnings, "who does not know the key cannot compare")
	set = set.KeyedBy("event")
	found, _ = look()
	require.Len(t, found[4].Warnings, 2)
	require.Equal(t, "workers with other settings use consumer capi-dispatcher on stream CAPI_PARKED: they have theirs, "+
		"and ours are nats.ack_wait=30s nats.max_ack_pending=20000 dedupe.key=event: workers with ours wait for theirs to go", found[4].Warnings[1])
}
