package telemetry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/traces"
)

// Unless the environment says otherwise.
const (
	// mostWaiting is how many ended spans wait for the exporter: a few requests with
	// a thousand events each. They take some 16 MB.
	mostWaiting = 8192
	// mostAtOnce is how many spans are exported at once.
	mostAtOnce = 1024
	// mostLinks is how many links a span has: a request has one to each of its events.
	// The usual limit is 128.
	mostLinks = 1000
)

// mostBytes is how large an export may be. A collector takes 4 MiB over gRPC, and
// refuses all of what is larger.
const mostBytes = 3 << 20

// Spans are where spans go.
type Spans struct {
	Tracer trace.Tracer
	// Sampled says what the tracer's sampler says, before there is a span; nil where
	// there is no exporter.
	Sampled traces.Sampler

	exports  *exports // nil likewise
	provider *sdktrace.TracerProvider
}

// StartSpans starts to export spans, if the environment says so. The caller ends
// it.
func StartSpans(ctx context.Context, version string) (*Spans, error) {
	about, err := describe(ctx, version)
	if err != nil {
		return nil, err
	}
	return startSpans(ctx, about)
}

func startSpans(ctx context.Context, about *resource.Resource) (*Spans, error) {
	var options []autoexport.SpanOption
	if !otlpConfigured("TRACES") {
		options = append(options, autoexport.WithFallbackSpanExporter(noSpans))
	}
	to, err := autoexport.NewSpanExporter(ctx, options...)
	if err != nil {
		return nil, err
	}
	if to == nil || autoexport.IsNoneSpanExporter(to) {
		return &Spans{Tracer: noop.NewTracerProvider().Tracer(name)}, nil
	}
	e := newExports(to, number("OTEL_BSP_MAX_QUEUE_SIZE", mostWaiting))
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(about), sdktrace.WithSpanProcessor(e), sdktrace.WithRawSpanLimits(limits()))
	return &Spans{
		Tracer:  provider.Tracer(name, trace.WithSchemaURL(semconv.SchemaURL)),
		Sampled: sampler(), exports: e, provider: provider,
	}, nil
}

// Recorded reports whether spans go anywhere.
func (s *Spans) Recorded() bool { return s.provider != nil }

// Shutdown exports what is left, unless nobody takes it, and ends.
func (s *Spans) Shutdown(ctx context.Context) error {
	if s.provider == nil {
		return nil
	}
	if s.exports.failing.Load() {
		s.exports.abandon() // nobody takes them: no stop is to wait for that
	}
	return s.provider.Shutdown(ctx)
}

// number is a count in the environment.
func number(variable string, otherwise int) int {
	if n, err := strconv.Atoi(strings.TrimSpace(os.Getenv(variable))); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// limits are those of OpenTelemetry, but for links.
func limits() sdktrace.SpanLimits {
	limits := sdktrace.NewSpanLimits()
	limits.LinkCountLimit = number("OTEL_SPAN_LINK_COUNT_LIMIT", mostLinks)
	return limits
}

func noSpans(context.Context) (sdktrace.SpanExporter, error) {
	return nil, nil //nolint:nilnil // means: export nothing
}

// sampler reads OTEL_TRACES_SAMPLER as the SDK does, to be asked before there is a
// span.
func sampler() traces.Sampler {
	kind := strings.ToLower(strings.TrimSpace(os.Getenv("OTEL_TRACES_SAMPLER")))
	root := sdktrace.AlwaysSample()
	rest, parentBased := strings.CutPrefix(kind, "parentbased_")
	switch rest {
	case "always_on":
	case "always_off":
		root = sdktrace.NeverSample()
	case "traceidratio":
		root = sdktrace.TraceIDRatioBased(ratio(os.Getenv("OTEL_TRACES_SAMPLER_ARG")))
	default: // not set, or not known, which the SDK says
		parentBased = true
	}
	ctx := context.Background()
	return func(parent trace.SpanContext, id trace.TraceID) bool {
		if parentBased && parent.IsValid() {
			return parent.IsSampled()
		}
		result := root.ShouldSample(sdktrace.SamplingParameters{ParentContext: ctx, TraceID: id})
		return result.Decision == sdktrace.RecordAndSample
	}
}

// ratio is that of an argument; of one that is none, everything is sampled.
func ratio(arg string) float64 {
	r, err := strconv.ParseFloat(strings.TrimSpace(arg), 64)
	if err != nil || r < 0 || r > 1 {
		return 1
	}
	return r
}

// exports batches spans for an exporter, and counts those that do not get there: no
// more wait than may, and what the exporter refuses is gone. Whoever ends a span
// never waits.
type exports struct {
	to      sdktrace.SpanExporter
	batches sdktrace.SpanProcessor
	most    int64
	waiting atomic.Int64
	stopped context.Context //nolint:containedctx // the batches know nothing of it
	abandon context.CancelFunc

	full, refused atomic.Int64 // spans that are lost
	failing       atomic.Bool  // since the last export

	mu   sync.Mutex
	said time.Time // when it was last said that spans are lost
}

func newExports(to sdktrace.SpanExporter, most int) *exports {
	e := &exports{to: to, most: int64(most)}
	e.stopped, e.abandon = context.WithCancel(context.Background())
	atOnce := min(number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", mostAtOnce), most)
	e.batches = sdktrace.NewBatchSpanProcessor(exporter{e},
		sdktrace.WithMaxQueueSize(most), sdktrace.WithMaxExportBatchSize(atOnce))
	return e
}

// OnStart is of no interest.
func (e *exports) OnStart(ctx context.Context, s sdktrace.ReadWriteSpan) { e.batches.OnStart(ctx, s) }

// OnEnd has a span exported, if it has room to wait.
func (e *exports) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if e.waiting.Add(1) > e.most {
		e.waiting.Add(-1)
		e.full.Add(1)
		e.say(errors.New("spans end faster than they are exported"))
		return
	}
	e.batches.OnEnd(s)
}

// ForceFlush exports what waits.
func (e *exports) ForceFlush(ctx context.Context) error { return e.batches.ForceFlush(ctx) }

// Shutdown exports what waits, and ends. When ctx ends, it gives up what is under
// way.
func (e *exports) Shutdown(ctx context.Context) error {
	defer e.abandon()
	return e.batches.Shutdown(ctx)
}

// say says that spans are lost: once, and again only after a while.
func (e *exports) say(cause error) {
	const often = 10 * time.Minute
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped.Err() != nil {
		return // Shutdown says it
	}
	if now := time.Now(); e.said.IsZero() || now.Sub(e.said) > often {
		e.said = now
		otel.Handle(fmt.Errorf("spans are lost, and counted in capi_spans_lost_total: %w", cause))
	}
}

// observe counts lost spans.
func (e *exports) observe(meter metric.Meter) error {
	full, refused := reason("queue_full"), reason("export")
	_, err := meter.Int64ObservableCounter("capi.spans.lost", metric.WithUnit("{span}"),
		metric.WithDescription("Spans that could not be exported"),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(e.full.Load(), full)
			o.Observe(e.refused.Load(), refused)
			return nil
		}))
	return err
}

func reason(word string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attribute.String("reason", word)))
}
