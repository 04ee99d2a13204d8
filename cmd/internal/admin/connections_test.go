package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/admin"
	"github.com/capi-dispatcher/capi-dispatcher/config"
)

// Whoever reaches the port may open as many connections as they like: they cost
// next to nothing, and a probe is answered at once. Memory is measured, so
// nothing else runs meanwhile.
func TestManyConnectionsCostNothingAndKeepNobodyOut(t *testing.T) {
	for name, says := range map[string]string{
		"that say nothing": "", "that were answered": "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", "with half a request": "GET /livez HTTP/1.1\r\nHost:",
	} {
		t.Run(name, func(t *testing.T) {
			server, err := admin.Start(t.Context(), config.Admin{Address: "127.0.0.1:0"}, admin.Pages{Metrics: http.NotFoundHandler()})
			require.NoError(t, err)
			const many, most = 4000, 64
			before := memory()
			conns := dial(t, server.Address(), many, says)
			requireAnswer(t, server.Address())
			require.GreaterOrEqual(t, closedOf(t, conns), many-most, "are closed")
			require.Less(t, memory()-before, int64(32<<20), "bytes, the clients' side included")
			closeAll(conns)
			require.NoError(t, server.Stop(t.Context()))
		})
	}
}

// dial opens connections that say something and then leave it at that.
func dial(t *testing.T, address string, many int, says string) (conns []net.Conn) {
	t.Helper()
	for range many {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		require.NoError(t, err)
		conns = append(conns, conn)
		_, _ = io.WriteString(conn, says) // may be closed by now
	}
	return conns
}

// requireAnswer asks as the kubelet does: on a connection of its own, and with
// little patience.
func requireAnswer(t *testing.T, address string) {
	t.Helper()
	probe := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/livez", nil)
	require.NoError(t, err)
	response, err := probe.Do(request)
	require.NoError(t, err, "the probe")
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)
}

// closedOf tells how many connections the other side closes within two seconds.
func closedOf(t *testing.T, conns []net.Conn) int {
	t.Helper()
	var readers sync.WaitGroup
	var closed atomic.Int64
	deadline := time.Now().Add(2 * time.Second)
	for _, conn := range conns {
		require.NoError(t, conn.SetReadDeadline(deadline))
		readers.Go(func() {
			if _, err := io.Copy(io.Discard, conn); !errors.Is(err, os.ErrDeadlineExceeded) {
				closed.Add(1)
			}
		})
	}
	readers.Wait()
	return int(closed.Load())
}

func closeAll(conns []net.Conn) {
	for _, conn := range conns {
		_ = conn.Close()
	}
}

// memory is what is in use, stacks included.
func memory() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapInuse + stats.StackInuse)
}

// pipes is a listener whose connections need no network, so that time can be
// made to pass.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// witness tells when the server closes a connection.
type witness struct {
	net.Conn
	closed chan time.Time
}

func (w witness) Close() error {
	select {
	case w.closed <- time.Now():
	default:
	}
	return w.Conn.Close()
}

// connect returns a client's end of a connection, and when the server closes it.
func connect(t *testing.T, listener pipes) (client net.Conn, closed <-chan time.Time) {
	t.Helper()
	client, server := net.Pipe()
	t.Cleanup(func() { _ = client.Close() })
	w := witness{server, make(chan time.Time, 1)}
	listener <- w
	return client, w.closed
}

func TestSlowClientsAreCutOff(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		says  string
		reads bool
		after time.Duration
	}{
		"says nothing":         {"", true, 5 * time.Second},
		"half a request":       {"GET /livez HTTP/1.1\r\nHost:", true, 5 * time.Second},
		"a body never ends":    {"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx", true, 10 * time.Second},
		"reads nothing":        {"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", false, 30 * time.Second},
		"asks and says no end": {"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", true, 90 * time.Second},
		"headers without end":  {"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 16<<10), true, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				listener := make(pipes)
				server := admin.Serve(listener, config.Admin{}, admin.Pages{Metrics: wordy})
				client, closed := connect(t, listener)
				began := time.Now()
				go func() { _, _ = io.WriteString(client, c.says) }()
				if c.reads {
					go func() { _, _ = io.Copy(io.Discard, client) }()
				}
				require.InDelta(t, c.after.Seconds(), (<-closed).Sub(began).Seconds(), 0.6) // before it closes, the server lingers a moment
				require.NoError(t, server.Stop(t.Context()))
			})
		})
	}
}

// wordy has more to say than any buffer holds.
var wordy = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	for range 100 {
		_, _ = fmt.Fprintln(w, strings.Repeat("word ", 1000))
	}
})

// A profile of a minute takes longer than anything else may.
func TestAProfileMayTakeItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		listener := make(pipes)
		server := admin.Serve(listener, config.Admin{Pprof: true}, admin.Pages{Metrics: wordy})
		client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			conn, _ := connect(t, listener)
			return conn, nil
		}, DisableKeepAlives: true}}
		began := time.Now()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/debug/pprof/goroutine?seconds=60", nil)
		require.NoError(t, err)
		response, err := client.Do(request)
		require.NoError(t, err)
		profile, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusOK, response.StatusCode, "%s", profile)
		require.Equal(t, time.Minute, time.Since(began).Round(time.Second))
		require.NoError(t, server.Stop(t.Context()))
	})
}
