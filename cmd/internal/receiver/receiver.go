// Package receiver runs what takes Meta's webhooks, with everything around it:
// connections, telemetry, the admin port and the server for Meta.
package receiver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/admin"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/logging"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/telemetry"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/capture"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/clicks"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/index"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/keyring"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

// Addresses are where a receiver listens.
type Addresses struct {
	Webhooks string // "" where nothing is received from Meta
	Admin    string
}

// What a client may take. Meta's bodies have some megabytes at the most, and are
// there at once.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 15 * time.Second
	idleTimeout       = 90 * time.Second
	maxHeaderBytes    = 16 << 10
	drainTimeout      = 10 * time.Second
)

// ErrOff says that the configuration does not have people looked up.
var ErrOff = errors.New("attribution.enabled is false: what webhooks tell would be of no use; set it to true, for workers as well")

// Run takes webhooks until ctx ends, and returns nil. started, if not nil, is told
// where.
func Run(ctx context.Context, cfg *config.Config, version string, log logging.Log, started func(Addresses)) error {
	if !cfg.Attribution.Enabled {
		return ErrOff
	}
	ring, err := keyring.Read(cfg.Attribution.KeyFile)
	if err != nil {
		return fmt.Errorf("attribution.key_file: %w", err)
	}
	observed, err := telemetry.Setup(ctx, version, metrics.MaxSets(0))
	if err != nil {
		return fmt.Errorf("telemetry: %w", err)
	}
	defer ending(log.Logger, "telemetry", observed.Shutdown)
	nats, err := connect.NATS(&cfg.NATS, connect.Webhooks, log.Logger)
	if err != nil {
		return err
	}
	defer nats.Conn().Close()
	redis, err := connect.Redis(&cfg.Redis, 8)
	if err != nil {
		return err
	}
	defer func() { _ = redis.Close() }()
	meters, err := capture.NewMeters(observed.Meter)
	if err != nil {
		return err
	}
	r := &receiver{cfg: cfg, nats: nats, log: log.Logger, streams: health.NewUncheckedGate()}
	store := capture.NewStore(ring, clicks.NewPublisher(nats, cfg.Attribution.Subject), meters)
	if cfg.Attribution.AutomaticEvents == attribution.Publish {
		store.PublishDetected(nats, cfg.NATS.Subject+"."+admission.Auto, cfg.Attribution.AutomaticEventsScale)
	}
	r.feeder = capture.NewFeeder(index.New(redis, cfg.Attribution.Keep), meters, log.Logger)
	r.reducer = capture.NewReducer(cfg.Attribution.QueueSubject, store, meters, log.Logger)
	port, err := admin.Start(ctx, cfg.Admin,
		admin.Pages{Metrics: observed.Metrics, Conditions: r.conditions, LogLevel: log.Level})
	if err != nil {
		return err
	}
	defer ending(log.Logger, "admin port", port.Stop)
	server, err := r.serve(ctx, capture.NewReceiver(store, r.secrets(), meters, log.Logger))
	if err != nil {
		return err
	}
	defer ending(log.Logger, "webhooks", server.stop)
	log.Info("taking webhooks", zap.String("version", version), zap.String("webhooks", server.address()),
		zap.String("admin", port.Address()))
	if started != nil {
		started(Addresses{Webhooks: server.address(), Admin: port.Address()})
	}
	return r.consume(ctx)
}

// receiver is what runs.
type receiver struct {
	cfg     *config.Config
	nats    *connect.Connection
	log     *zap.Logger
	streams *health.Gate
	feeder  *capture.Feeder
	reducer *capture.Reducer
}

// conditions are what has to hold for webhooks to be stored. That they come into Redis
// is no reason to refuse any.
func (r *receiver) conditions() []health.Condition {
	conn := r.nats.Conn()
	server := health.Condition{Name: "nats", OK: conn.IsConnected()}
	if !server.OK {
		server.Reason = "not connected: " + conn.Status().String()
	}
	feeds, reduces := r.feeder.Gate().Condition("index"), r.reducer.Gate().Condition("queue")
	feeds.Warning, reduces.Warning = !feeds.OK, !reduces.OK
	return []health.Condition{server, r.streams.Condition("streams"), feeds, reduces}
}

// consume feeds the index and takes partners' bodies, until ctx ends.
func (r *receiver) consume(ctx context.Context) error {
	records, bodies, err := r.open(ctx)
	if err != nil || ctx.Err() != nil {
		return err
	}
	r.streams.Open()
	var running sync.WaitGroup
	running.Go(func() { r.feeder.Run(ctx, records) })
	running.Go(func() { r.reducer.Run(ctx, bodies) })
	running.Wait()
	return nil
}

// open makes or verifies the streams. While the server does not answer it waits; what a
// person has to mend is an error.
func (r *receiver) open(ctx context.Context) (records, bodies jetstream.Consumer, err error) {
	kept := r.cfg.Clicks()
	var loop retry.Loop
	for ctx.Err() == nil {
		err = r.tryOpen(ctx, &kept, &records, &bodies)
		if _, setup := errors.AsType[*streams.SetupError](err); err == nil || setup {
			return records, bodies, err
		}
		r.streams.Shut(err.Error())
		r.log.Warn("the streams cannot be looked at yet", zap.Error(err))
		loop.SlowDown(ctx)
	}
	return nil, nil, nil
}

func (r *receiver) tryOpen(ctx context.Context, kept *clicks.Config, records, bodies *jetstream.Consumer) error {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return r.nats.Rights.Do(ctx, func(ctx context.Context) (err error) {
		*records, *bodies, err = clicks.Ensure(ctx, r.nats, kept)
		return err
	})
}

func (r *receiver) secrets() capture.Secrets {
	return capture.Secrets{
		VerifyToken: func() (string, error) { return secret.ReadFile(r.cfg.Webhooks.VerifyTokenFile) },
		AppSecrets: func() (all []string, err error) {
			for _, file := range r.cfg.Webhooks.AppSecretFiles {
				text, err := secret.ReadFile(file)
				if err != nil {
					return nil, err
				}
				all = append(all, text)
			}
			return all, nil
		},
	}
}

// server is the HTTP server for Meta; the zero value is none.
type server struct {
	listener net.Listener
	http     *http.Server
	done     chan error
}

// serve listens for Meta, if there is a secret to know it by.
func (r *receiver) serve(ctx context.Context, handler http.Handler) (*server, error) {
	hooks := &r.cfg.Webhooks
	if len(hooks.AppSecretFiles) == 0 {
		r.log.Info("webhooks.app_secret_files is empty: only what partners publish is taken")
		return &server{}, nil
	}
	secrets := r.secrets()
	_, err := secrets.AppSecrets()
	if _, err2 := secrets.VerifyToken(); err != nil || err2 != nil {
		return nil, fmt.Errorf("webhooks: %w", errors.Join(err, err2))
	}
	certificate, err := certificates(&hooks.TLS)
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", hooks.Address)
	if err != nil {
		return nil, fmt.Errorf("webhooks.address: %w", err)
	}
	s := &server{listener: listener, done: make(chan error, 1), http: &http.Server{
		Handler: handler, TLSConfig: certificate, MaxHeaderBytes: maxHeaderBytes,
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ErrorLog: zap.NewStdLog(zap.NewNop()), // clients that go away are no news
	}}
	go func() { s.done <- s.serve() }()
	return s, nil
}

func (s *server) serve() error {
	if s.http.TLSConfig == nil {
		return s.http.Serve(s.listener)
	}
	return s.http.ServeTLS(s.listener, "", "")
}

func (s *server) address() string {
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

func (s *server) stop(ctx context.Context) error {
	if s.listener == nil {
		return nil
	}
	err := s.http.Shutdown(ctx)
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// certificates makes a TLS configuration of files; nil where none is named.
func certificates(files *config.ServerTLS) (*tls.Config, error) {
	if files.CertFile == "" {
		return nil, nil //nolint:nilnil // nothing is configured, and that is no error
	}
	load := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("webhooks.tls: %w", err)
		}
		return &pair, nil
	}
	if _, err := load(); err != nil {
		return nil, err
	}
	// Read again for each connection: certificates are replaced in place.
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return load() },
	}, nil
}

// ending ends something that may take a moment.
func ending(log *zap.Logger, what string, end func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := end(ctx); err != nil && !errors.Is(err, context.Canceled) {
		log.Warn(what+" did not end well", zap.Error(err))
	}
}
