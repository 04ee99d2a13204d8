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
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/attribute"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

const name = "github.com/capi-dispatcher/capi-dispatcher"

// maxScrapes is how many may read the metrics at a time: each holds a copy of
// all series, which may be many.
const maxScrapes = 4

// Telemetry is where the program reports what it does.
type Telemetry struct {
	Tracer trace.Tracer
	Meter  metric.Meter
	// Metrics serves all metrics in Prometheus' format.
	Metrics http.Handler

	shutdown []func(context.Context) error
}

// Setup starts telemetry, with that many sets of attributes for each instrument at
// the most. The caller ends it with Shutdown.
func Setup(ctx context.Context, version string, maxSets int) (*Telemetry, error) {
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithProcessPID(),
		resource.WithAttributes(attribute.String("service.name", "capi-dispatcher"),
			attribute.String("service.version", version)),
		resource.WithFromEnv(), // last: what the environment says goes
	)
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, err
	}
	var t Telemetry
	if err := t.startTraces(ctx, about); err != nil {
		return nil, err
	}
	if err := t.startMetrics(ctx, about, maxSets); err != nil {
		return nil, errors.Join(err, t.Shutdown(ctx))
	}
	return &t, nil
}

// Shutdown exports what is left and ends telemetry.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	var errs []error
	for _, shutdown := range t.shutdown {
		errs = append(errs, shutdown(ctx))
	}
	return errors.Join(errs...)
}

func (t *Telemetry) startTraces(ctx context.Context, about *resource.Resource) error {
	var options []autoexport.SpanOption
	if !otlpConfigured() {
		options = append(options, autoexport.WithFallbackSpanExporter(noSpans))
	}
	exporter, err := autoexport.NewSpanExporter(ctx, options...)
	if err != nil {
		return err
	}
	if exporter == nil || autoexport.IsNoneSpanExporter(exporter) {
		t.Tracer = noop.NewTracerProvider().Tracer(name)
		return nil
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(about), sdktrace.WithBatcher(exporter), sdktrace.WithRawSpanLimits(limits()))
	t.Tracer = provider.Tracer(name)
	t.shutdown = append(t.shutdown, provider.Shutdown)
	return nil
}

// limits lets a request's span link to all of its events, unless the
// environment says otherwise: the usual limit is 128.
func limits() sdktrace.SpanLimits {
	limits := sdktrace.NewSpanLimits()
	if os.Getenv("OTEL_SPAN_LINK_COUNT_LIMIT") == "" {
		limits.LinkCountLimit = 1000
	}
	return limits
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
	t.shutdown = append(t.shutdown, provider.Shutdown)
	return nil
}

// metricReader is what the environment wants metrics to be pushed to, if
// anything.
func metricReader(ctx context.Context) (sdkmetric.Reader, error) {
	if os.Getenv("OTEL_METRICS_EXPORTER") == "" && !otlpConfigured() {
		return nil, nil //nolint:nilnil // nothing is configured, and that is no error
	}
	reader, err := autoexport.NewMetricReader(ctx)
	if err != nil || autoexport.IsNoneMetricReader(reader) {
		return nil, err
	}
	return reader, nil
}

func otlpConfigured() bool {
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "OTEL_EXPORTER_OTLP_") && strings.Contains(variable, "ENDPOINT=") {
			return true
		}
	}
	return false
}

func noSpans(context.Context) (sdktrace.SpanExporter, error) {
	return nil, nil //nolint:nilnil // means: export nothing
}
