package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

// stage is what stays over all measurements: the programs, the servers, and the
// connections of this process to them.
type stage struct {
	dir        string
	self       string // this program
	dispatcher string // that of the worker
	nats       *process
	redis      *process
	config     config.Config // leads to both servers
	js         jetstream.JetStream
	claims     redis.UniversalClient
	ends       []func()
}

// newStage builds the programs and starts the servers. The caller ends it.
func newStage(ctx context.Context) (*stage, error) {
	s := &stage{config: config.Default()}
	if err := s.begin(ctx); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

func (s *stage) begin(ctx context.Context) (err error) {
	if s.self, err = os.Executable(); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "capi-dispatcher-bench-"); err != nil {
		return err
	}
	s.atEnd(func() { _ = os.RemoveAll(s.dir) })
	s.config.Admin.Address = "127.0.0.1:0" // the worker's log tells which it is
	s.config.Graph.TokenDir = filepath.Join(s.dir, "tokens")
	if err := os.Mkdir(s.config.Graph.TokenDir, 0o700); err != nil {
		return err
	}
	token := filepath.Join(s.config.Graph.TokenDir, "default")
	if err := os.WriteFile(token, []byte("EAAB"+strings.Repeat("x", 100)), 0o600); err != nil {
		return err
	}
	if err := build(ctx, s.dir); err != nil {
		return err
	}
	s.dispatcher = filepath.Join(s.dir, "capi-dispatcher")
	return errors.Join(s.startNATS(ctx), s.startRedis(ctx))
}

func (s *stage) atEnd(end func()) { s.ends = append(s.ends, end) }

// end stops everything, the last begun first.
func (s *stage) end() {
	for _, end := range slices.Backward(s.ends) {
		end()
	}
}

// natsConfig leaves the port to the system. The store is given more room than any
// disk has, as NATS sets aside what the streams might need.
const natsConfig = `
listen: "127.0.0.1:-1"
jetstream: {store_dir: %q, max_file_store: 1TB}
`

func (s *stage) startNATS(ctx context.Context) error {
	binary, file := filepath.Join(s.dir, "nats-server"), filepath.Join(s.dir, "nats.conf")
	text := fmt.Sprintf(natsConfig, filepath.Join(s.dir, "nats"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	p, err := startProcess(ctx, s.dir, "nats", binary, "--config", file)
	if err != nil {
		return err
	}
	s.nats = p
	s.atEnd(p.end)
	address, err := p.said(ctx, regexp.MustCompile(`Listening for client connections on (\S+)(?s:.*)Server is ready`))
	if err != nil {
		return err
	}
	s.config.NATS.URL = secret.URLs("nats://" + address)
	conn, err := connect.NATSNow(&s.config.NATS, connect.Publish)
	if err != nil {
		return err
	}
	s.js = conn
	s.atEnd(conn.Conn().Close)
	return nil
}

func (s *stage) startRedis(ctx context.Context) (err error) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return fmt.Errorf("redis-server is needed; `make redis` installs it: %w", err)
	}
	port := 0
	for range 5 { // another program may take the port before redis-server does
		if port, err = freePort(ctx); err != nil {
			return err
		}
		if s.redis, err = s.tryRedis(ctx, binary, port); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return err
	}
	s.atEnd(s.redis.end)
	s.config.Redis.URL = secret.URLs(fmt.Sprintf("redis://127.0.0.1:%d/0", port))
	s.claims, err = connect.Redis(&s.config.Redis, 1)
	if err != nil {
		return err
	}
	s.atEnd(func() { _ = s.claims.Close() })
	return nil
}

func (s *stage) tryRedis(ctx context.Context, binary string, port int) (*process, error) {
	p, err := startProcess(ctx, s.dir, "redis", binary, "--port", strconv.Itoa(port), "--bind", "127.0.0.1",
		"--dir", s.dir, "--save", "", "--appendonly", "no")
	if err != nil {
		return nil, err
	}
	if _, err := p.said(ctx, regexp.MustCompile("(Ready to accept connections)")); err != nil {
		p.end()
		return nil, err
	}
	return p, nil
}

// freePort is a port for a server that cannot choose one itself.
func freePort(ctx context.Context) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
