// Package telemetry sets OpenTelemetry up from the standard OTEL_* variables,
// and offers all metrics to Prometheus besides.
//
// Traces and metrics are exported where OTEL_TRACES_EXPORTER or
// OTEL_METRICS_EXPORTER say so, or to OTLP where an OTEL_EXPORTER_OTLP_*
// endpoint is given; otherwise nothing is exported, so that a machine without a
// collector is not bothered.
package telemetry

import (
	"context"
	"errors"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/attribute"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
)

const name = "github.com/capi-dispatcher/capi-dispatcher"

// maxScrapes is how many may read the metrics at a time: each holds a copy of
// all series, which may be many.
const maxScrapes = 4

// Telemetry is where the program reports what it does.
type Telemetry struct {
	*Spans

	Meter metric.Meter
	// Metrics serves all metrics in Prometheus' format.
	Metrics http.Handler

	shutdowns []func(context.Context) error
}

// Setup starts telemetry, with that many sets of attributes for each instrument at
// the most. The caller ends it with Shutdown.
func Setup(ctx context.Context, version string, maxSets int) (*Telemetry, error) {
	about, err := describe(ctx, version)
	if err != nil {
		return nil, err
	}
	var t Telemetry
	if t.Spans, err = startSpans(ctx, about); err != nil {
		return nil, err
	}
	t.shutdowns = append(t.shutdowns, t.Spans.Shutdown)
	if err := t.startMetrics(ctx, about, maxSets); err != nil {
		return nil, errors.Join(err, t.Shutdown(ctx))
	}
	if t.lost != nil {
		err = t.lost.observe(t.Meter)
	}
	return &t, err
}

// describe says what the telemetry is of.
func describe(ctx context.Context, version string) (*resource.Resource, error) {
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithProcessPID(),
		resource.WithAttributes(attribute.String("service.name", "capi-dispatcher"),
			attribute.String("service.version", version)),
		resource.WithFromEnv(), // last: what the environment says goes
	)
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, err
	}
	return about, nil
}

// shutdownTimeout is how long a worker waits at its end for those who take its
// telemetry.
const shutdownTimeout = 3 * time.Second

// Shutdown exports what is left and ends telemetry, within a few seconds.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownTimeout)
	defer cancel()
	errs := make([]error, len(t.shutdowns))
	var all sync.WaitGroup
	for i, shutdown := range t.shutdowns {
		all.Go(func() { errs[i] = shutdown(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (t *Telemetry) startMetrics(ctx context.Context, about *resource.Resource, maxSets int) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	scraped, err := otelprom.New(otelprom.WithRegisterer(registry), otelprom.WithoutScopeInfo())
	if err != nil {
		return err
	}
	options := []sdkmetric.Option{
		sdkmetric.WithResource(about), sdkmetric.WithReader(scraped),
		sdkmetric.WithCardinalityLimit(maxSets + 1), // the last one is for what is beyond
	}
	pushed, err := metricReader(ctx)
	if err != nil {
		return err
	}
	if pushed != nil {
		options = append(options, sdkmetric.WithReader(pushed))
	}
	provider := sdkmetric.NewMeterProvider(options...)
	t.Meter = provider.Meter(name)
	t.Metrics = promhttp.HandlerFor(registry,
		promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: maxScrapes})
	t.shutdowns = append(t.shutdowns, provider.Shutdown)
	return nil
}

// metricReader is what the environment wants metrics to be pushed to, if
// anything.
func metricReader(ctx context.Context) (sdkmetric.Reader, error) {
	if os.Getenv("OTEL_METRICS_EXPORTER") == "" && !otlpConfigured("METRICS") {
		return nil, nil //nolint:nilnil // nothing is configured, and that is no error
	}
	reader, err := autoexport.NewMetricReader(ctx)
	if err != nil || autoexport.IsNoneMetricReader(reader) {
		return nil, err
	}
	return reader, nil
}

// otlpConfigured reports whether there is an address for a signal: TRACES or
// METRICS.
func otlpConfigured(signal string) bool {
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
}
