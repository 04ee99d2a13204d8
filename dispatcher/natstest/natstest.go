// Package natstest runs real NATS servers with JetStream inside a test.
package natstest

import (
	"cmp"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/internal/porttest"
)

// roomy is a store in which the limits of streams have room, however small the
// disk of the machine is: NATS sets them aside when it creates a stream.
const roomy = 1 << 40

// Server is a NATS server in this process, with its streams on disk. It ends
// with the test.
type Server struct {
	t       testing.TB
	options *server.Options
	running *server.Server
	url     string
}

// Start runs a server on a free port.
func Start(tb testing.TB) *Server {
	tb.Helper()
	return StartWith(tb, &server.Options{})
}

// StartWith runs a server with options of the caller's, for TLS or accounts.
// Address, JetStream and its directory are set here.
func StartWith(tb testing.TB, options *server.Options) *Server {
	tb.Helper()
	options.Host, options.Port = "127.0.0.1", porttest.Port(tb)
	options.JetStream, options.StoreDir = true, tb.TempDir()
	options.JetStreamMaxStore = cmp.Or(options.JetStreamMaxStore, roomy)
	options.NoSigs, options.NoLog = true, true
	s := &Server{t: tb, options: options}
	s.Restart()
	tb.Cleanup(s.Stop)
	return s
}

// Restart starts a stopped server again, on its port and directory.
func (s *Server) Restart() {
	s.t.Helper()
	for _, port := range []int{s.options.Port, s.options.Cluster.Port} {
		porttest.AwaitFree(s.t, fmt.Sprint("127.0.0.1:", port))
	}
	running, err := server.NewServer(s.options.Clone())
	require.NoError(s.t, err)
	running.Start()
	require.True(s.t, running.ReadyForConnections(30*time.Second), "NATS does not start")
	s.running, s.url = running, running.ClientURL()
}

// Stop ends the server.
func (s *Server) Stop() {
	if s.running != nil {
		s.running.Shutdown()
		s.running.WaitForShutdown()
		s.running = nil
	}
}

// URL is the server's address, running or not.
func (s *Server) URL() string { return s.url }

// JetStream connects to the server the way the program does.
func (s *Server) JetStream(options ...nats.Option) jetstream.JetStream {
	s.t.Helper()
	options = append([]nats.Option{
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond),
		nats.ReconnectBufSize(-1),
		nats.Timeout(time.Minute),
	}, options...)
	conn, err := nats.Connect(s.URL(), options...)
	require.NoError(s.t, err)
	s.t.Cleanup(conn.Close)
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(16_384),
		jetstream.WithPublishAsyncTimeout(5*time.Second))
	require.NoError(s.t, err)
	return js
}

// Done reports whether a consumer of a whole stream has acknowledged every
// message in it. The numbers of pending messages would not do: for a moment after a
// publish has been acknowledged, the consumer does not know of the message.
func Done(ctx context.Context, js jetstream.JetStream, stream, consumer string) bool {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return false
	}
	c, err := s.Consumer(ctx, consumer)
	if err != nil {
		return false
	}
	info := c.CachedInfo()
	return info.NumAckPending == 0 && info.NumPending == 0 && info.AckFloor.Stream >= s.CachedInfo().State.LastSeq
}
