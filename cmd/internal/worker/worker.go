// Package worker runs a dispatcher with everything around it: connections,
// telemetry and the admin port.
package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/admin"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/logging"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/telemetry"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/index"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/keyring"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/directory"
)

// Run dispatches until ctx ends, then drains, and returns nil. started, if not
// nil, is told the address of the admin port.
func Run(ctx context.Context, cfg *config.Config, version string, log logging.Log, started func(admin string)) error {
	if _, err := os.Stat(cfg.Graph.TokenDir); err != nil {
		return fmt.Errorf("graph.token_dir: %w", err)
	}
	observed, err := telemetry.Setup(ctx, version, metrics.MaxSets(cfg.Metrics.Datasets))
	if err != nil {
		return fmt.Errorf("telemetry: %w", err)
	}
	defer ending(log.Logger, "telemetry", observed.Shutdown)

	nats, err := connect.NATS(&cfg.NATS, connect.Worker, log.Logger)
	if err != nil {
		return err
	}
	defer nats.Conn().Close()
	redis, err := connect.Redis(&cfg.Redis, cfg.Delivery.Senders+8)
	if err != nil {
		return err
	}
	defer func() { _ = redis.Close() }()
	transport := graph.NewTransport(cfg.Delivery.Senders)
	defer transport.CloseIdleConnections()
	client, err := connect.Graph(&cfg.Graph, transport)
	if err != nil {
		return err
	}

	deps := dispatcher.Deps{
		JetStream: nats.JetStream, Rights: nats.Rights, Claims: dedupe.New(cfg.Dedupe.Config, cfg.NATS.ClaimLease(), redis),
		Graph: client, Tokens: client.Tokens(), Secrets: client.Tokens().Used(),
		Log: log.Logger, Tracer: observed.Tracer, Sampled: observed.Sampled, Meter: observed.Meter,
	}
	if cfg.Graph.ResolveDatasets {
		datasets := directory.New(client, client.Tokens(), redis)
		defer datasets.Close()
		deps.Directory = datasets
	}
	if cfg.Attribution.Enabled {
		ring, err := keyring.Read(cfg.Attribution.KeyFile)
		if err != nil {
			return fmt.Errorf("attribution.key_file: %w", err)
		}
		deps.Attribution = attribution.New(cfg.Attribution, &cfg.Assets, ring, index.New(redis, cfg.Attribution.Keep))
	}
	d, err := dispatcher.New(cfg.Dispatcher(), cfg.Batch, deps)
	if err != nil {
		return err
	}
	pages := admin.Pages{Metrics: observed.Metrics, Conditions: d.Conditions, LogLevel: log.Level}
	port, err := admin.Start(ctx, cfg.Admin, pages)
	if err != nil {
		return err
	}
	defer ending(log.Logger, "admin port", port.Stop)
	log.Info("dispatching", zap.String("version", version), zap.String("admin", port.Address()))
	if started != nil {
		started(port.Address())
	}
	return d.Run(ctx)
}

// ending ends something that may take a moment.
func ending(log *zap.Logger, what string, end func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := end(ctx); err != nil && !errors.Is(err, context.Canceled) {
		log.Warn(what+" did not end well", zap.Error(err))
	}
}
