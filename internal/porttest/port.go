// Package porttest finds ports of this machine for the servers of tests.
package porttest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Port is a port of this machine that a server can come back to: none of those
// that systems give where any will do, which begin at 32768 or later.
func Port(tb testing.TB) int {
	tb.Helper()
	const lowest, ports = 20_000, 12_000
	for {
		if port := lowest + rand.IntN(ports); isFree(fmt.Sprint("127.0.0.1:", port)) {
			return port
		}
	}
}

// AwaitFree waits until nobody listens on an address of this machine. Closing
// the listener is not enough: a process that is being started has copies of all
// sockets of this one until it is executed, and lets go of them only then.
func AwaitFree(tb testing.TB, address string) {
	tb.Helper()
	require.Eventually(tb, func() bool { return isFree(address) }, time.Minute, time.Millisecond,
		"somebody listens on %s", address)
}

// isFree asks without listening, which would make one more socket to be copied.
func isFree(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return true
	}
	_ = conn.Close()
	return false
}
