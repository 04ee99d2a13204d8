package dispatcher_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe/dedupetest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/claims"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/traces"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/directory"
	rules "github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, dedupetest.DialRetry()) }

const (
	dataset = "1234567890"
	other   = "2222222222"
	token   = "EAAB-secret-token"
)

// options is what a test may change before the dispatcher starts.
type options struct {
	cfg     dispatcher.Config
	batch   batcher.Config
	dedupe  dedupe.Config
	graph   graph.Config
	resolve bool // Meta is asked for the datasets of accounts
	redis   redis.UniversalClient
	nats    *natstest.Server
	log     *zap.Logger
	now     func() time.Time // the wall clock
	sampled traces.Sampler
	claims  func(claims.Store) claims.Store // in front of Redis
	people  *attribution.Config             // events are looked up, if it is set
	looks   *atomic.Int64                   // counts how often, if it is set
}

// harness is a dispatcher between a real NATS server, a Redis and a simulated
// Graph API.
type harness struct {
	*graphtest.API

	t       testing.TB
	options options
	js      jetstream.JetStream
	graph   *httptest.Server
	metrics *metric.ManualReader
	meters  *metric.MeterProvider
	spans   *tracetest.InMemoryExporter
	running *worker
}

// worker is one running dispatcher.
type worker struct {
	*dispatcher.Dispatcher

	stop context.CancelFunc
	done chan error
}

func setup(tb testing.TB, change ...func(*options)) *harness {
	tb.Helper()
	b := &harness{t: tb, API: graphtest.New(graphtest.Config{KeepEvents: true}), metrics: metric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	b.meters = metric.NewMeterProvider(metric.WithReader(b.metrics))
	b.AddDataset(dataset, token)
	b.AddDataset(other, token)
	b.graph = httptest.NewServer(b.API)
	tb.Cleanup(b.graph.Close)
	b.options = b.defaults()
	b.options.cfg.Streams.Section = "nats."
	for _, c := range change {
		c(&b.options)
	}
	if b.options.nats == nil {
		b.options.nats = natstest.Start(tb)
	}
	if b.options.redis == nil {
		b.options.redis = redis.NewClient(&redis.Options{Addr: dedupetest.Start(tb).Addr, MaxRetries: -1})
		tb.Cleanup(func() { _ = b.options.redis.Close() })
	}
	b.js = b.options.nats.JetStream()
	b.running = b.start()
	return b
}

// defaults are patient with busy machines: the race detector and in-process
// Redis need seconds for what a worker does in milliseconds.
func (b *harness) defaults() options {
	o := options{
		cfg: dispatcher.Config{
			Streams: streams.Default(), Delivery: dispatcher.DefaultDelivery(), Identity: dispatcher.ByEvent,
			Rules: rules.DefaultRules(), Metrics: dispatcher.DefaultMetrics(),
			Config: admission.Config{Datasets: map[string]admission.Dataset{dataset: {}, other: {}}},
		},
		batch:  batcher.Config{MaxEvents: 1000, MaxBytes: 900_000, Linger: 50 * time.Millisecond},
		dedupe: dedupe.DefaultConfig(), graph: graph.DefaultConfig(),
		log: zaptest.NewLogger(b.t, zaptest.Level(zap.WarnLevel)),
	}
	o.graph.URL, o.graph.TokenDir, o.graph.Timeout = b.graph.URL, b.t.TempDir(), 10*time.Second
	o.cfg.Streams.AckWait = time.Minute
	o.cfg.Delivery.Retry = dispatcher.Retry{
		Backoff: retry.Backoff{Initial: 10 * time.Millisecond, Max: 50 * time.Millisecond}, Budget: 300 * time.Millisecond,
	}
	o.cfg.Delivery.Park = retry.Backoff{Initial: time.Second, Max: 2 * time.Second}
	o.cfg.Delivery.DrainTimeout = 25 * time.Second
	b.writeToken("default", token, o.graph)
	return o
}

func (b *harness) writeToken(name, text string, cfg graph.Config) {
	b.t.Helper()
	written := filepath.Join(b.t.TempDir(), name)
	require.NoError(b.t, os.WriteFile(written, []byte(text), 0o600))
	require.NoError(b.t, os.Rename(written, filepath.Join(cfg.TokenDir, name))) // nobody reads half of it
}

// impatient is for tests that wait until a message is ours no more.
func impatient(o *options) {
	o.cfg.Streams.AckWait, o.graph.Timeout = 6*time.Second, 3*time.Second
}

// start runs a dispatcher until the test ends, or until it is stopped, and
// waits until it is ready.
func (b *harness) start() *worker {
	b.t.Helper()
	w := b.launch()
	b.await("the dispatcher is ready", w.ready)
	return w
}

// launch runs a dispatcher.
func (b *harness) launch() *worker {
	b.t.Helper()
	o := b.options
	o.cfg.RequestTimeout = o.graph.Timeout
	require.NoError(b.t, errors.Join(o.cfg.Identity.Validate(), o.cfg.Datasets.Validate(), o.cfg.Assets.Validate(),
		o.cfg.Streams.Validate(), o.cfg.Delivery.Validate(), o.graph.Validate()))
	require.GreaterOrEqual(b.t, o.cfg.Streams.AckWait, 2*o.cfg.RequestTimeout)
	transport := graph.NewTransport(o.cfg.Delivery.Senders)
	b.t.Cleanup(transport.CloseIdleConnections)
	client, err := graph.New(o.graph, transport)
	require.NoError(b.t, err)
	provider := trace.NewTracerProvider(trace.WithSyncer(b.spans))
	claims := claims.Store(dedupe.New(o.dedupe, o.cfg.Streams.ClaimLease(), o.redis))
	if o.claims != nil {
		claims = o.claims(claims)
	}
	deps := dispatcher.Deps{
		JetStream: o.nats.JetStream(),
		Claims:    claims,
		Graph:     client, Tokens: client.Tokens(), Secrets: client.Tokens().Used(),
		Now:    o.now,
		Log:    o.log,
		Tracer: provider.Tracer("test"), Sampled: o.sampled,
		Meter: b.meters.Meter("test"),
	}
	if o.resolve {
		datasets := directory.New(client, client.Tokens(), o.redis)
		b.t.Cleanup(datasets.Close)
		deps.Directory = datasets
	}
	if o.people != nil {
		deps.Attribution = b.attribution(&o)
	}
	d, err := dispatcher.New(o.cfg, o.batch, deps)
	require.NoError(b.t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(b.t.Context()))
	w := &worker{Dispatcher: d, stop: stop, done: make(chan error, 1)}
	go func() { w.done <- d.Run(ctx) }()
	b.t.Cleanup(func() { b.stop(w) })
	return w
}

func (w *worker) ready() bool {
	for _, c := range w.Conditions() {
		if c.Blocks() {
			return false
		}
	}
	return true
}

func (b *harness) stop(w *worker) {
	b.t.Helper()
	if w.stop == nil {
		return
	}
	w.stop()
	w.stop = nil
	select {
	case err := <-w.done:
		require.NoError(b.t, err)
	case <-time.After(90 * time.Second):
		b.t.Fatal("the dispatcher does not stop")
	}
}

func (b *harness) await(what string, condition func() bool) {
	b.t.Helper()
	patience := 10 * time.Minute
	if longForms() {
		patience = 30 * time.Minute // -timeout is the bound of those
	}
	require.Eventually(b.t, condition, patience, 5*time.Millisecond, what)
}

// event is a sound event of a given id.
func event(id string) string { return eventAt(id, time.Now()) }

func eventAt(id string, at time.Time) string {
	return fmt.Sprintf(`{"event_name":"LeadSubmitted","event_id":%q,"event_time":%d,"action_source":"business_messaging",`+
		`"messaging_channel":"whatsapp","user_data":{"whatsapp_business_account_id":"102","ctwa_clid":"clid"}}`, id, at.Unix())
}

// poison is an event that only Meta finds fault with.
func poison(id string) string { return strings.Replace(event(id), `"clid"`, `"invalid"`, 1) }

func events(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = event(fmt.Sprintf("e%d", i))
	}
	return list
}

func body(events ...string) string { return `{"data":[` + strings.Join(events, ",") + `]}` }

// publish puts messages on a dataset's subject.
func (b *harness) publish(to string, messages ...string) {
	b.t.Helper()
	for _, message := range messages {
		b.publishMsg(&nats.Msg{Subject: "capi.events." + to, Data: []byte(message)})
	}
}

func (b *harness) publishMsg(msg *nats.Msg) {
	b.t.Helper()
	_, err := b.js.PublishMsg(b.t.Context(), msg)
	require.NoError(b.t, err)
}

// awaitAccepted waits until so many different events have been accepted.
func (b *harness) awaitAccepted(n int) {
	b.t.Helper()
	b.await(fmt.Sprintf("%d events are accepted", n), func() bool {
		distinct, _ := b.Ledger().Distinct()
		return distinct >= n
	})
}

// awaitQuiet waits until nothing is left to do: no message is unprocessed, none
// is parked, nothing is in flight.
func (b *harness) awaitQuiet() {
	b.t.Helper()
	b.await("nothing is left to do", func() bool {
		return natstest.Done(b.t.Context(), b.js, "CAPI", "capi-dispatcher") && b.streamSize("CAPI_PARKED") == 0
	})
}

func (b *harness) streamSize(name string) uint64 {
	b.t.Helper()
	stream, err := b.js.Stream(b.t.Context(), name)
	require.NoError(b.t, err)
	return stream.CachedInfo().State.Msgs
}
