package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/bench/process"
	"github.com/capi-dispatcher/capi-dispatcher/config"
)

// stage is what stays over some measurements: the programs, the servers, and the
// connections of this process to them.
type stage struct {
	dir        string
	self       string // this program
	dispatcher string // that of the worker
	nodes      int    // of NATS and of Redis; more than one make a cluster
	nats       crew
	redis      crew
	config     config.Config // leads to the servers
	js         jetstream.JetStream
	claims     redis.UniversalClient
	ends       []func()
}

// newStage builds the programs and starts the servers. The caller ends it.
func newStage(ctx context.Context, nodes int) (*stage, error) {
	s := &stage{config: config.Default(), nodes: nodes}
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

// build builds the worker and the NATS server that go.mod names, as they are
// shipped.
func build(ctx context.Context, dir string) error {
	cmd := process.Command(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", dir+"/",
		"github.com/capi-dispatcher/capi-dispatcher/cmd/capi-dispatcher", "github.com/nats-io/nats-server/v2")
	cmd.Env = append(cmd.Env, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs: %w: %s", err, out)
	}
	return nil
}
