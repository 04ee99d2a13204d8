package e2e_test

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// A console with exactly the documented rights sees where events are, uses every
// right, and can change nothing and read nobody else's deliveries.
func TestAConsoleSeesEverythingAndChangesNothing(t *testing.T) {
	t.Parallel()
	g := guard(t)
	g.makeStreams()
	_, err := g.js.Publish(t.Context(), "capi.parked.wait."+shop+".id", []byte(event("parked", "x")))
	require.NoError(t, err)
	g.listen()

	denied := make(chan error, 10)
	console := g.nats.JetStream(nats.UserCredentialBytes([]byte(g.account.CredsFor(g.roles["Console"]))),
		nats.CustomInboxPrefix("_INBOX_capi_console"),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
	g.lookAround(console)
	require.Empty(t, denied)
	g.requireUsed("Console")

	for _, subject := range []string{
		"capi.events." + shop, "capi.dead." + shop + ".refused", "capi.parked.due." + shop,
		"$JS.API.STREAM.MSG.DELETE.CAPI_DLQ", "$JS.API.STREAM.PURGE.CAPI_DLQ", "$JS.API.CONSUMER.MSG.NEXT.CAPI.capi-dispatcher",
	} {
		require.NoError(t, console.Conn().Publish(subject, nil))
		require.ErrorIs(t, <-denied, nats.ErrPermissionViolation, subject)
	}
	for _, inbox := range []string{"_INBOX.>", "_INBOX_capi_worker.>", "_INBOX_capi_dlq.>"} {
		_, err := console.Conn().SubscribeSync(inbox)
		require.NoError(t, err)
		require.ErrorIs(t, <-denied, nats.ErrPermissionViolation, inbox)
	}
}

// lookAround does what a console is for.
func (g *guarded) lookAround(console jetstream.JetStream) {
	g.t.Helper()
	ctx := g.t.Context()
	for name, stream := range map[string]struct{ subject, consumer string }{
		"CAPI":        {"capi.events." + shop, "capi-dispatcher"},
		"CAPI_PARKED": {"capi.parked.wait." + shop + ".id", "capi-dispatcher"},
		"CAPI_DLQ":    {"capi.dead." + shop + ".refused", ""},
	} {
		seen, err := console.Stream(ctx, name)
		require.NoError(g.t, err)
		counts, err := seen.Info(ctx, jetstream.WithSubjectFilter(stream.subject))
		require.NoError(g.t, err)
		if stream.consumer != "" {
			_, err = console.Consumer(ctx, name, stream.consumer)
			require.NoError(g.t, err)
		}
		if name != "CAPI" {
			require.EqualValues(g.t, 1, counts.State.Subjects[stream.subject])
			_, err = seen.GetMsg(ctx, 1)
			require.NoError(g.t, err)
			_, err = seen.GetLastMsgForSubject(ctx, stream.subject)
			require.NoError(g.t, err)
		}
	}
	letters, err := console.CreateConsumer(ctx, "CAPI_DLQ", jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
	require.NoError(g.t, err)
	letter, err := letters.Next()
	require.NoError(g.t, err)
	require.Equal(g.t, "capi.dead."+shop+".refused", letter.Subject())
	require.NoError(g.t, console.DeleteConsumer(ctx, "CAPI_DLQ", letters.CachedInfo().Name))
}
