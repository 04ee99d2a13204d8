package deadletter_test

import (
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
)

// slowly dials connections on which everything takes its time to arrive.
type slowly struct{}

func (slowly) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	return &sluggish{Conn: conn, closed: make(chan struct{})}, err
}

type sluggish struct {
	net.Conn

	once   sync.Once
	closed chan struct{}
}

func (s *sluggish) Read(buffer []byte) (int, error) {
	n, err := s.Conn.Read(buffer)
	const longerThanTheClientWaitsForNothing = 1200 * time.Millisecond
	select {
	case <-time.After(longerThanTheClientWaitsForNothing):
	case <-s.closed:
	}
	return n, err
}

func (s *sluggish) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Conn.Close()
}

// A server that says nothing for a while has not said that there is nothing.
func TestSilenceIsNotTheEnd(t *testing.T) {
	t.Parallel()
	_, js := rig(t, full(), full(), full())
	conn, err := nats.Connect(js.Conn().ConnectedUrl(), nats.SetCustomDialer(slowly{}), nats.Timeout(time.Minute))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	slow, err := jetstream.New(conn, jetstream.WithDefaultTimeout(time.Minute))
	require.NoError(t, err)
	box, err := deadletter.Open(t.Context(), slow, streams())
	require.NoError(t, err)
	require.Equal(t, 3, count(t, box, func() {}))
}

// Somebody else deletes the letters while they are read.
func TestDeletedLettersAreNotWaitedForInVain(t *testing.T) {
	t.Parallel()
	const moreThanAPage = 510
	box, js := rig(t, slices.Repeat([]deadletter.Letter{full()}, moreThanAPage)...)
	stream, err := js.Stream(t.Context(), "CAPI_DLQ")
	require.NoError(t, err)
	require.Less(t, count(t, box, func() { require.NoError(t, stream.Purge(t.Context())) }), moreThanAPage)
}

// count reads all letters, and does something at the first.
func count(t *testing.T, box *deadletter.Box, first func()) (n int) {
	t.Helper()
	strangers, err := box.Each(t.Context(), deadletter.Filter{}, func(deadletter.Letter) error {
		if n++; n == 1 {
			first()
		}
		return nil
	})
	require.NoError(t, err)
	require.Zero(t, strangers)
	return n
}
