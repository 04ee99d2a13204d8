package dispatcher_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// hangingUp is a Graph API that answers once on a connection: a second request
// meets its closing. The first so many requests are answered together.
type hangingUp struct {
	http.Handler

	together sync.WaitGroup
	first    atomic.Int64
}

// used counts the requests of a connection.
type used struct{}

func (h *hangingUp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Context().Value(used{}).(*atomic.Int64).Add(1) > 1 {
		panic(http.ErrAbortHandler) // closes the connection without a word
	}
	if h.first.Add(-1) >= 0 {
		h.together.Done()
		h.together.Wait()
	}
	h.Handler.ServeHTTP(w, r)
}

func startHangingUp(t *testing.T, first int) (*hangingUp, string) {
	t.Helper()
	h := &hangingUp{}
	h.together.Add(first)
	h.first.Store(int64(first))
	server := httptest.NewUnstartedServer(h)
	server.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, used{}, new(atomic.Int64))
	}
	server.Start()
	t.Cleanup(server.Close)
	return h, server.URL
}

// Twenty connections look as if they could be used again, and none can. An event
// meets one of them, and is not sent over the others until it is given up.
func TestAnEventInDoubtMeetsAFreshConnection(t *testing.T) {
	t.Parallel()
	api, url := startHangingUp(t, crowd)
	b := setup(t, func(o *options) { o.graph.URL = url })
	api.Handler = b.API
	for i := range crowd {
		b.AddDataset(member(i), token)
		b.publish(member(i), event("first"))
	}
	b.awaitAccepted(crowd)
	b.awaitQuiet()
	for i := range crowd {
		b.publish(member(i), events(50)...)
	}
	b.awaitQuiet()
	require.Zero(t, b.streamSize("CAPI_DLQ"))
	distinct, again := b.Ledger().Distinct()
	require.Equal(t, crowd*51, distinct)
	require.Zero(t, again)
	b.requireBalance()
}
