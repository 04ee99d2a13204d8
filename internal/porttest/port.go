// Package porttest finds ports of this machine for the servers of tests.
package porttest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Port is a port of this machine that a server can come back to until the test
// ends: none of those that systems give where any will do, which begin at 32768 or
// later, and none that another test has, in whatever process.
func Port(tb testing.TB) int {
	tb.Helper()
	const lowest, ports = 20_000, 12_000
	for {
		port := lowest + rand.IntN(ports)
		if reserve(tb, port) && isFree(fmt.Sprint("127.0.0.1:", port)) {
			return port
		}
	}
}

// reserve takes the lock on a port for a test, if no other test has it. The system
// lets go of it when the process ends, however that is.
func reserve(tb testing.TB, port int) bool {
	tb.Helper()
	dir := filepath.Join(os.TempDir(), "capi-dispatcher-test-ports")
	require.NoError(tb, os.MkdirAll(dir, 0o777))
	file, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(port)), os.O_CREATE|os.O_RDWR, 0o666)
	require.NoError(tb, err)
	if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		_ = file.Close()
		return false
	}
	tb.Cleanup(func() { _ = file.Close() })
	return true
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
