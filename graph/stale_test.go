package graph_test

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// pipes is a network of its own, in which time may be fake.
type pipes struct {
	accepted chan net.Conn
	dialled  atomic.Int64
	ended    chan struct{}
}

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.dialled.Add(1)
	p.accepted <- theirs
	return ours, nil
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accepted:
		return conn, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.ended); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// used counts the requests of a connection.
type used struct{}

// hangingUp is a server that answers once on a connection: a second request meets
// its closing.
func hangingUp(t *testing.T, api http.Handler) *pipes {
	t.Helper()
	network := &pipes{accepted: make(chan net.Conn), ended: make(chan struct{})}
	server := &http.Server{
		ReadHeaderTimeout: time.Minute,
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, used{}, new(atomic.Int64))
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Context().Value(used{}).(*atomic.Int64).Add(1) > 1 {
				panic(http.ErrAbortHandler) // closes the connection without a word
			}
			api.ServeHTTP(w, r)
		}),
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(network) }()
	t.Cleanup(func() { _ = server.Close(); <-served })
	return network
}

// A server that closes idle connections at once makes one request fail, and not
// every second one.
func TestConnectionsThatBreakAreNotUsedTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := graphtest.New(graphtest.Config{})
		api.AddDataset(dataset, token)
		network := hangingUp(t, api)
		cfg := graph.DefaultConfig()
		cfg.URL, cfg.TokenDir = "http://localhost", t.TempDir()
		writeFile(t, cfg.TokenDir, dataset, token)
		transport := graph.NewTransport(4)
		transport.DialContext = network.dial
		defer transport.CloseIdleConnections()
		client, err := graph.New(cfg, transport)
		require.NoError(t, err)
		send := func(fresh bool) graph.Verdict {
			return client.Send(t.Context(), graph.Request{Dataset: dataset, Events: [][]byte{[]byte(sampleEvents(1)[0])}, Fresh: fresh}).Verdict
		}
		require.Equal(t, graph.Accepted, send(false))
		require.Equal(t, graph.Accepted, send(true), "that one is not used for it")
		require.EqualValues(t, 2, network.dialled.Load())
		require.Equal(t, graph.Unknown, send(false), "the first one again: nobody can know")
		for range 10 {
			require.Equal(t, graph.Accepted, send(false))
		}
		require.EqualValues(t, 12, network.dialled.Load(), "one each")
		time.Sleep(6 * time.Minute)
		require.Equal(t, graph.Accepted, send(false))
		require.Equal(t, graph.Unknown, send(false), "it was tried again")
	})
}

// What only takes too long is no reason to distrust connections: other datasets'
// are as good as before.
func TestConnectionsOfADatasetThatHangsAreTrusted(t *testing.T) {
	t.Parallel()
	r := setup(t, func(cfg *graph.Config) { cfg.Timeout = 2 * time.Second })
	require.Equal(t, graph.Accepted, r.send(t, sampleEvents(1)...).Verdict)
	r.Script(dataset, graphtest.Fault{Delay: time.Minute, Drop: true})
	require.Equal(t, graph.Unknown, r.send(t, sampleEvents(1)...).Verdict)
	before := r.opened.Load()
	for range 5 {
		require.Equal(t, graph.Accepted, r.send(t, sampleEvents(1)...).Verdict)
	}
	require.Equal(t, before+1, r.opened.Load())
}
