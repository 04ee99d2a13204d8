package dispatcher_test

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
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
	require.NoError(t, dispatcher.NewStreamSet(dispatcher.DefaultStreams(), owner, nil).Ensure(t.Context()))

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
	for _, found := range dispatcher.NewStreamSet(dispatcher.DefaultStreams(), js, nil).Inspect(t.Context(), nil) {
		if found.Name == "stream CAPI_PARKED" {
			require.NoError(t, found.Err)
			return found.Warnings
		}
	}
	t.Fatal("the stream is not looked at")
	return nil
}
