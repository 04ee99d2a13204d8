package streams_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
)

func TestOldServersAreRefused(t *testing.T) {
	t.Parallel()
	for version, old := range map[string]bool{
		"2.10.29": true, "2.11.0": true, "2.12.0": true, "2.12.1": true, "2.12.2-RC.1": true,
		"2.12.2": false, "2.12.10": false, "2.15.2": false, "3.0.0-beta.1": false, "of our own making": false,
	} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			set := streams.New(streams.Default(), greeting(t, version), nil)
			err := set.CheckServer()
			if !old {
				require.NoError(t, err)
				return
			}
			var setup *streams.SetupError
			require.ErrorAs(t, err, &setup)
			require.ErrorContains(t, err, version+"; 2.12.2 or newer is needed")
		})
	}
}

// greeting connects to a server that says its version and nothing more.
func greeting(t *testing.T, version string) jetstream.JetStream {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = fmt.Fprintf(conn, "INFO {\"version\":%q,\"max_payload\":1048576,\"headers\":true}\r\n", version)
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "PING") {
				_, _ = fmt.Fprint(conn, "PONG\r\n")
			}
		}
	}()
	conn, err := nats.Connect("nats://" + listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	return js
}
