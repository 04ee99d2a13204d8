package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe/memredis"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

// stage is what the worker needs around it: servers, and a configuration that
// leads to them.
type stage struct {
	dir    string
	config *config.Config
	api    *graphtest.API // nil with a real Graph API
	ends   []func()
}

// newStage starts what the user has not brought along. The caller ends it.
func newStage(ctx context.Context, f flags) (*stage, error) {
	s := &stage{}
	if err := s.begin(ctx, f); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

func (s *stage) begin(ctx context.Context, f flags) (err error) {
	if s.dir, err = os.MkdirTemp("", "capi-dispatcher-demo-"); err != nil {
		return err
	}
	s.atEnd(func() { _ = os.RemoveAll(s.dir) })
	s.config = demoConfig(filepath.Join(s.dir, "tokens"))
	if err := os.Mkdir(s.config.Graph.TokenDir, 0o700); err != nil {
		return err
	}
	return errors.Join(s.startNATS(f.natsURL), s.startRedis(f.redisURL), s.startGraph(ctx, f))
}

// demoConfig is a configuration with names of its own and short waits: a demo
// cannot show a pause of a quarter of an hour.
func demoConfig(tokens string) *config.Config {
	cfg := config.Default()
	streams := &cfg.NATS.Streams
	streams.Stream, streams.Subject = "CAPI_DEMO", "capi-demo.events"
	streams.ParkedStream, streams.ParkedSubject = "CAPI_DEMO_PARKED", "capi-demo.parked"
	streams.DeadLetterStream, streams.DeadLetterSubject = "CAPI_DEMO_DLQ", "capi-demo.dead"
	streams.Consumer = "capi-dispatcher-demo"
	streams.AckWait = 10 * time.Second
	cfg.Graph.TokenDir, cfg.Graph.Timeout, cfg.Graph.PartnerAgent = tokens, 5*time.Second, "capi-dispatcher-demo"
	cfg.Delivery.Retry.Budget = 2 * time.Second
	cfg.Delivery.Park = retry.Backoff{Initial: 2 * time.Second, Max: 4 * time.Second}
	cfg.Admin.Address = "127.0.0.1:0"
	return &cfg
}

func (s *stage) atEnd(end func()) { s.ends = append(s.ends, end) }

// end stops everything, the last begun first.
func (s *stage) end() {
	for _, v := range slices.Backward(s.ends) {
		v()
	}
}

func (s *stage) startNATS(given string) error {
	if given != "" {
		s.config.NATS.URL = secret.URLs(given)
		return nil
	}
	running, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT,
		JetStream: true, JetStreamMaxStore: 1 << 40, StoreDir: filepath.Join(s.dir, "nats"), NoSigs: true, NoLog: true,
	})
	if err != nil {
		return fmt.Errorf("embedded NATS: %w", err)
	}
	running.Start()
	s.atEnd(func() { running.Shutdown(); running.WaitForShutdown() })
	if !running.ReadyForConnections(10 * time.Second) {
		return errors.New("embedded NATS does not get ready")
	}
	s.config.NATS.URL = secret.URLs(running.ClientURL())
	return nil
}

func (s *stage) startRedis(given string) error {
	if given != "" {
		s.config.Redis.URL = secret.URLs(given)
		return nil
	}
	running, err := memredis.Start()
	if err != nil {
		return fmt.Errorf("in-process Redis: %w", err)
	}
	s.atEnd(running.Close)
	s.config.Redis.URL = secret.URLs("redis://" + running.Addr())
	return nil
}

func (s *stage) startGraph(ctx context.Context, f flags) error {
	if f.graphURL != "" {
		return s.useRealGraph(f)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.api = graphtest.New(graphtest.Config{Latency: 80 * time.Millisecond})
	s.config.Graph.URL = "http://" + listener.Addr().String()
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = serve(serving, listener, s.api)
	}()
	s.atEnd(func() { stop(); <-done })
	return nil
}

func (s *stage) useRealGraph(f flags) error {
	if f.tokenFile == "" || f.dataset == "" {
		return errors.New("--graph-url needs --token-file and --dataset")
	}
	token, err := secret.ReadFile(f.tokenFile)
	if err != nil {
		return fmt.Errorf("--token-file: %w", err)
	}
	s.config.Graph.URL = f.graphURL
	if err := s.config.Graph.Config.Validate(); err != nil {
		return fmt.Errorf("--graph-url: %w", err)
	}
	return s.writeToken(f.dataset, token)
}

func (s *stage) writeToken(name, token string) error {
	return os.WriteFile(filepath.Join(s.config.Graph.TokenDir, name), []byte(token), 0o600)
}
