package telemetry

import (
	"cmp"
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
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/telemetry/spans"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/traces"
)

// Unless the environment says otherwise.
const (
	// mostWaiting is how many ended spans wait for the exporter: a few requests with
	// a thousand events each. They take some 6 MB.
	mostWaiting = 8192
	// mostAtOnce is how many spans are exported at once.
	mostAtOnce    = 1024
	scheduleDelay = 5000  // milliseconds
	exportTimeout = 30000 // likewise
)

// Spans are where spans go.
type Spans struct {
	Tracer trace.Tracer
	// Sampled says what the tracer's sampler says, before there is a span; nil where
	// there is no exporter.
	Sampled traces.Sampler

	lost     *lost // nil where it is not known
	shutdown func(context.Context) error
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
	switch exporter := os.Getenv("OTEL_TRACES_EXPORTER"); {
	case exporter == "otlp", exporter == "" && otlpConfigured("TRACES"):
		return startOTLP(ctx, about)
	case exporter == "", exporter == "none":
		return &Spans{Tracer: noop.NewTracerProvider().Tracer(name)}, nil
	default:
		return startOther(ctx, about)
	}
}

// startOTLP exports spans to a collector.
func startOTLP(ctx context.Context, about *resource.Resource) (*Spans, error) {
	client, err := newClient()
	if err != nil {
		return nil, err
	}
	if err := client.Start(ctx); err != nil {
		return nil, err
	}
	s := &Spans{Sampled: sampler(), lost: &lost{}}
	most := number("OTEL_BSP_MAX_QUEUE_SIZE", mostWaiting)
	queue := spans.NewQueue(spans.Config{
		Client: client, Resource: about.Attributes(), Scope: name, SchemaURL: semconv.SchemaURL,
		MostWaiting: most, MostAtOnce: min(number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", mostAtOnce), most),
		Delay:   time.Duration(number("OTEL_BSP_SCHEDULE_DELAY", scheduleDelay)) * time.Millisecond,
		Timeout: time.Duration(number("OTEL_BSP_EXPORT_TIMEOUT", exportTimeout)) * time.Millisecond,
		Lost:    s.lost.note,
	})
	s.Tracer = spans.NewTracer(s.Sampled, queue)
	s.shutdown = func(ctx context.Context) error {
		s.lost.silent.Store(true) // from now on what is returned says it
		return errors.Join(queue.Shutdown(ctx), client.Stop(ctx))
	}
	return s, nil
}

// newClient is the client for the protocol that the environment names.
func newClient() (otlptrace.Client, error) {
	const name = "OTEL_EXPORTER_OTLP_PROTOCOL"
	switch protocol := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv(name)); protocol {
	case "", "http/protobuf":
		return otlptracehttp.NewClient(), nil
	case "grpc":
		return otlptracegrpc.NewClient(), nil
	default:
		return nil, fmt.Errorf("%s: %q is neither http/protobuf nor grpc", name, protocol)
	}
}

// startOther exports spans otherwise, to the console for example. The SDK does that.
func startOther(ctx context.Context, about *resource.Resource) (*Spans, error) {
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithBatcher(exporter))
	tracer := provider.Tracer(name, trace.WithSchemaURL(semconv.SchemaURL))
	return &Spans{Tracer: tracer, Sampled: sampler(), shutdown: provider.Shutdown}, nil
}

// Shutdown exports what is left, unless nobody takes it, and ends.
func (s *Spans) Shutdown(ctx context.Context) error {
	if s.shutdown == nil {
		return nil
	}
	return s.shutdown(ctx)
}

// number is a count in the environment.
func number(variable string, otherwise int) int {
	if n, err := strconv.Atoi(strings.TrimSpace(os.Getenv(variable))); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// sampler reads OTEL_TRACES_SAMPLER as the SDK does. It is asked before there is a
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
	default:
		parentBased = true
		if kind != "" {
			otel.Handle(fmt.Errorf("OTEL_TRACES_SAMPLER: %q is not known, and parentbased_always_on is used", kind))
		}
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
		if arg != "" {
			otel.Handle(fmt.Errorf("OTEL_TRACES_SAMPLER_ARG: %q is not between 0 and 1, and everything is sampled", arg))
		}
		return 1
	}
	return r
}

// lost counts spans that could not be exported.
type lost struct {
	full, refused atomic.Int64
	silent        atomic.Bool

	mu   sync.Mutex
	said time.Time // when it was last said that spans are lost
}

// note counts lost spans, and says so: once, and again only after a while.
func (l *lost) note(n int, why error) {
	const often = 10 * time.Minute
	if errors.Is(why, spans.ErrFull) {
		l.full.Add(int64(n))
	} else {
		l.refused.Add(int64(n))
	}
	if l.silent.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.said.IsZero() || now.Sub(l.said) > often {
		l.said = now
		otel.Handle(fmt.Errorf("spans are lost, and counted in capi_spans_lost_total: %w", why))
	}
}

// observe offers the counts.
func (l *lost) observe(meter metric.Meter) error {
	full, refused := reason("queue_full"), reason("export")
	_, err := meter.Int64ObservableCounter("capi.spans.lost", metric.WithUnit("{span}"),
		metric.WithDescription("Spans that could not be exported"),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(l.full.Load(), full)
			o.Observe(l.refused.Load(), refused)
			return nil
		}))
	return err
}

func reason(word string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attribute.String("reason", word)))
}
