package dedupetest

import (
	"bufio"
	"context"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// Server is one redis-server process on this machine. It ends with the test.
type Server struct {
	// Addr is host:port. It stays the same over a restart.
	Addr string

	t       testing.TB
	args    []string
	process *exec.Cmd
}

// Start runs redis-server on a free port, with extra arguments as its command
// line takes them, and returns once it accepts connections. The test fails
// where redis-server is not installed: nothing is skipped.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{t: t}
	dir := t.TempDir()
	t.Cleanup(s.Kill)
	// Somebody else may take the port between our look and redis-server's.
	for range 5 {
		port := freePort(t)
		s.Addr = net.JoinHostPort("127.0.0.1", port)
		s.args = append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", ""}, args...)
		if s.run() {
			return s
		}
	}
	t.Fatalf("redis-server does not start: redis-server %s", strings.Join(s.args, " "))
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
		if strings.Contains(lines.Text(), "Ready to accept connections") {
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

func freePort(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}
