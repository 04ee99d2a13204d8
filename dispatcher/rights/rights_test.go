package rights_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/rights"
)

// conn is a connection with an inbox of its own, as far as rights go.
var conn = &nats.Conn{Opts: nats.Options{InboxPrefix: "_INBOX_x"}}

var (
	errInbox     = errors.New(`nats: permissions violation: Permissions Violation for Subscription to "_INBOX_x.abc.*"`)
	errInfo      = errors.New(`nats: permissions violation: Permissions Violation for Publish to "$JS.API.STREAM.INFO.CAPI"`)
	errUnrelated = errors.New("nats: slow consumer, messages dropped")
)

func TestADenialSaysWhatToGrant(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		errInbox: "NATS denies the right to subscribe to _INBOX_x.>; grant it, or connect with another inbox prefix (see docs/security.md, Rights in NATS)",
		errInfo:  "NATS denies the right to publish to $JS.API.STREAM.INFO.CAPI; grant it (see docs/security.md, Rights in NATS)",
	} {
		require.EqualError(t, new(rights.Watch).Note(conn, err), want)
	}
	require.Nil(t, new(rights.Watch).Note(conn, errUnrelated))
}

// ask waits for an answer that does not come.
func ask(w *rights.Watch, subjects ...string) error {
	return w.Do(context.Background(), func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		<-ctx.Done()
		return ctx.Err()
	}, subjects...)
}

func TestWaitingEndsWhenItIsInVain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err      error
		subjects []string
		denied   bool
	}{
		"of everything":     {errInfo, nil, true},
		"of this":           {errInfo, []string{"capi.dead", "$JS.API.STREAM"}, true},
		"of its neighbour":  {errInfo, []string{"$JS.API.STREAM.INFO.CA"}, false},
		"of something else": {errInfo, []string{"capi.dead"}, false},
		"of the answer":     {errInbox, []string{"capi.dead"}, true},
		"of nothing":        {errUnrelated, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var w rights.Watch
				began := time.Now()
				time.AfterFunc(time.Second, func() { w.Note(conn, tc.err) })
				err := ask(&w, tc.subjects...)
				var denied *rights.DeniedError
				require.Equal(t, tc.denied, errors.As(err, &denied), "%v", err)
				require.Equal(t, tc.denied, time.Since(began) == time.Second, "at once")
				require.Equal(t, tc.denied, w.Since(began, tc.subjects...) != nil)
			})
		})
	}
}

// The client asks for its inbox once: nobody would be told a second time.
func TestADeniedInboxStaysDeniedUntilTheConnectionIsMadeAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w rights.Watch
		w.Note(conn, errInfo)
		w.Note(conn, errInbox)
		began := time.Now()
		require.ErrorContains(t, ask(&w), "_INBOX_x.>")
		require.Equal(t, began, time.Now(), "nobody waits")
		time.Sleep(time.Second)
		require.ErrorContains(t, w.Since(time.Now(), "capi.dead"), "_INBOX_x.>")
		w.Reconnected()
		require.NoError(t, w.Since(began))
		require.ErrorIs(t, ask(&w), context.DeadlineExceeded)
	})
}

func TestOnlyFailuresAreExplained(t *testing.T) {
	t.Parallel()
	var w rights.Watch
	require.NoError(t, w.Do(t.Context(), func(context.Context) error {
		w.Note(conn, errInfo)
		return nil
	}), "it got along without")
	require.NoError(t, (*rights.Watch)(nil).Since(time.Time{}))
	require.ErrorIs(t, (*rights.Watch)(nil).Do(t.Context(), func(context.Context) error { return errUnrelated }), errUnrelated)
}

func TestOldDenialsAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w rights.Watch
		w.Note(conn, errInfo)
		time.Sleep(time.Second)
		for range 100 {
			w.Note(conn, errors.New(`Permissions Violation for Publish to "capi.dead.1.refused"`))
		}
		require.NoError(t, w.Since(time.Now().Add(-time.Minute), "$JS"))
		require.Error(t, w.Since(time.Now(), "capi.dead"))
		time.Sleep(time.Second)
		require.NoError(t, w.Since(time.Now()))
	})
}

func TestWhereJetStreamListens(t *testing.T) {
	t.Parallel()
	for want, js := range map[string]func(*nats.Conn) (jetstream.JetStream, error){
		"$JS.API.":     func(c *nats.Conn) (jetstream.JetStream, error) { return jetstream.New(c) },
		"$JS.hub.API.": func(c *nats.Conn) (jetstream.JetStream, error) { return jetstream.NewWithDomain(c, "hub") },
		"from.shop.":   func(c *nats.Conn) (jetstream.JetStream, error) { return jetstream.NewWithAPIPrefix(c, "from.shop") },
	} {
		js, err := js(conn)
		require.NoError(t, err)
		require.Equal(t, want, rights.APIPrefix(js))
	}
}
