package dedupetest

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/capi-dispatcher/capi-dispatcher/internal/porttest"
)

// Server is one redis-server process on this machine. It ends with the test.
type Server struct {
	// Addr is host:port. It stays the same over a restart.
	Addr string

	t       testing.TB
	args    []string
	ready   string // what the log says when it is
	process *exec.Cmd
}

// Start runs redis-server on a free port, with extra arguments as its command
// line takes them, and returns once it accepts connections. The test fails
// where redis-server is not installed: nothing is skipped.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	dir := tb.TempDir()
	return start(tb, "Ready to accept connections", func(port string) []string {
		return append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", ""}, args...)
	})
}

// StartTLS runs redis-server with a TLS port and no other. The files are PEM.
func StartTLS(tb testing.TB, certFile, keyFile, caFile string) *Server {
	tb.Helper()
	dir := tb.TempDir()
	return start(tb, "Ready to accept connections", func(port string) []string {
		return []string{
			"--port", "0", "--tls-port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "",
			"--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-ca-cert-file", caFile,
		}
	})
}

// StartSentinel runs a sentinel that watches a server under the name of
// "main", and fails over after a second.
func StartSentinel(tb testing.TB, watched *Server) *Server {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "sentinel.conf")
	host, port, err := net.SplitHostPort(watched.Addr)
	require.NoError(tb, err)
	rules := "sentinel monitor main " + host + " " + port +
		" 1\nsentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 3000\n"
	require.NoError(tb, os.WriteFile(file, []byte(rules), 0o600))
	return start(tb, "Sentinel ID is", func(port string) []string {
		return []string{file, "--sentinel", "--port", port, "--bind", "127.0.0.1"}
	})
}

// StartCluster runs a Redis Cluster of three masters and returns their
// addresses once every slot is served.
func StartCluster(tb testing.TB) (addrs []string) {
	tb.Helper()
	var nodes []*Server
	for range 3 {
		node := Start(tb, "--cluster-enabled", "yes")
		nodes, addrs = append(nodes, node), append(addrs, node.Addr)
	}
	create := append([]string{"--cluster", "create", "--cluster-yes"}, addrs...)
	out, err := exec.CommandContext(tb.Context(), "redis-cli", create...).CombinedOutput()
	require.NoError(tb, err, string(out))
	for _, node := range nodes {
		require.Eventually(tb, func() bool {
			info, err := node.Client().ClusterInfo(tb.Context()).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok")
		}, 30*time.Second, 20*time.Millisecond, "the cluster does not come about")
	}
	return addrs
}

// DialRetry is a goroutine that a closed client leaves behind for up to a
// second when its server is away; it is not to be taken for a leak.
func DialRetry() goleak.Option {
	return goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial")
}

func start(tb testing.TB, ready string, args func(port string) []string) *Server {
	tb.Helper()
	s := &Server{t: tb, ready: ready}
	tb.Cleanup(s.Kill)
	// Another process may have the port.
	for range 5 {
		port := strconv.Itoa(porttest.Port(tb))
		s.Addr, s.args = net.JoinHostPort("127.0.0.1", port), args(port)
		if s.run() {
			return s
		}
	}
	tb.Fatalf("redis-server does not start: redis-server %s", strings.Join(s.args, " "))
	return nil
}

// Restart starts a killed server again, on its old port and directory.
func (s *Server) Restart() {
	s.t.Helper()
	require.True(s.t, s.run(), "redis-server does not start again on %s", s.Addr)
}

// run starts the process and reads its log until it is ready or gone.
func (s *Server) run() bool {
	s.t.Helper()
	binary, err := exec.LookPath("redis-server")
	require.NoError(s.t, err, "this test needs redis-server: `make test` installs it, or apt-get install redis-server")
	s.process = exec.CommandContext(context.WithoutCancel(s.t.Context()), binary, s.args...)
	log, err := s.process.StdoutPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, s.process.Start())
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if strings.Contains(lines.Text(), s.ready) {
			go func() { _, _ = io.Copy(io.Discard, log) }()
			return true
		}
	}
	s.Kill()
	return false
}

// Kill ends the server at once. What it has not persisted is gone.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
	s.process = nil
}

// Pause freezes the server: its connections stay open and hang.
func (s *Server) Pause() { require.NoError(s.t, s.process.Process.Signal(syscall.SIGSTOP)) }

// Resume lets a paused server go on.
func (s *Server) Resume() { require.NoError(s.t, s.process.Process.Signal(syscall.SIGCONT)) }

// URL is the server's address as redis.ParseURL takes it.
func (s *Server) URL() string { return "redis://" + s.Addr + "/0" }

// Client returns a client of the server, set up as package dedupe needs it.
func (s *Server) Client() *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, ContextTimeoutEnabled: true})
	s.t.Cleanup(func() { _ = client.Close() })
	return client
}
