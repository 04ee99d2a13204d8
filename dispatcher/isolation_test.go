package dispatcher_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// crowd is how many datasets share a worker; the last of them is the sick one.
const crowd = 20

func member(i int) string { return strconv.Itoa(7000 + i) }

// sickness is how one dataset falls ill and gets well.
type sickness struct {
	begin func(*harness, string)
	end   func(*harness, string)
}

func sicknesses() map[string]sickness {
	always := func(fault graphtest.Fault) sickness {
		return sickness{
			begin: func(b *harness, dataset string) { b.Always(dataset, fault) },
			end:   func(b *harness, dataset string) { b.Clear(dataset) },
		}
	}
	return map[string]sickness{
		"down":      always(graphtest.Fault{Status: 503, Body: "<html>Service Unavailable</html>"}),
		"throttled": always(graphtest.Fault{Status: 429, Error: &graphtest.Error{Code: 80004, Message: "too many calls"}}),
		"dead token": {
			begin: func(b *harness, dataset string) { b.AddDataset(dataset, "the-new-token") },
			end:   func(b *harness, dataset string) { b.writeToken(dataset, "the-new-token", b.options.graph) },
		},
	}
}

// publishMany publishes n events of a dataset, without waiting for each.
func (b *harness) publishMany(to, prefix string, n int) {
	b.t.Helper()
	for i := range n {
		_, err := b.js.PublishMsgAsync(&nats.Msg{Subject: "capi.events." + to, Data: []byte(event(fmt.Sprint(prefix, i)))})
		require.NoError(b.t, err)
		if i%1000 == 999 {
			<-b.js.PublishAsyncComplete()
		}
	}
	<-b.js.PublishAsyncComplete()
}

// One of twenty datasets is ill, and its events are the first in the stream.
// The others' are all delivered while it is; then its own are.
func TestASickDatasetCostsTheOthersNothing(t *testing.T) {
	t.Parallel()
	const waiting, each, mostInFlight = 3000, 100, 500
	for name, sick := range sicknesses() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(o *options) {
				o.cfg.Delivery.Park = retry.Backoff{Initial: 2 * time.Second, Max: 8 * time.Second}
				o.cfg.Delivery.MaxInFlight = mostInFlight
			})
			for i := range crowd {
				b.AddDataset(member(i), token)
			}
			ill := member(crowd - 1)
			sick.begin(b, ill)
			b.publishMany(ill, "ill", waiting)
			for i := range crowd - 1 {
				b.publishMany(member(i), "well", each)
			}
			b.awaitAccepted((crowd - 1) * each)
			require.Zero(t, b.Ledger().Totals(ill).Events, "it is still ill")
			b.await("it holds no place in the consumer", func() bool { return b.ackPending() == 0 })
			b.await("its events are parked", func() bool { return b.streamSize("CAPI_PARKED") == waiting })
			require.LessOrEqual(t, b.books("capi.messages.in_flight"), int64(mostInFlight))
			require.LessOrEqual(t, b.Ledger().Totals(ill).Requests, 60, "it is not tried over and over")
			sick.end(b, ill)
			b.awaitAccepted((crowd-1)*each + waiting)
			b.awaitQuiet()
			b.requireNoneTwice()
			b.requireBalance()
			require.Empty(t, b.letters())
		})
	}
}

func (b *harness) ackPending() int {
	b.t.Helper()
	consumer, err := b.js.Consumer(b.t.Context(), "CAPI", "capi-dispatcher")
	require.NoError(b.t, err)
	return consumer.CachedInfo().NumAckPending
}

// stopwatch is a Graph API that notes when each event arrives that carries the
// time of its publication in its id.
type stopwatch struct {
	http.Handler

	mu    sync.Mutex
	times []time.Duration
}

func (s *stopwatch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var seen strings.Builder
	r.Body = http.MaxBytesReader(w, r.Body, 16<<20)
	r.Body = readCloser{r.Body, &seen}
	s.Handler.ServeHTTP(w, r)
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, part := range strings.Split(seen.String(), `"event_id":"at`)[1:] {
		digits, _, _ := strings.Cut(part, "-")
		if nanos, err := strconv.ParseInt(digits, 10, 64); err == nil {
			s.times = append(s.times, now.Sub(time.Unix(0, nanos)))
		}
	}
}

// readCloser keeps what is read.
type readCloser struct {
	body interface {
		Read([]byte) (int, error)
		Close() error
	}
	into *strings.Builder
}

func (r readCloser) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.into.Write(p[:n])
	return n, err
}

func (r readCloser) Close() error { return r.body.Close() }

// BenchmarkIsolation compares nineteen datasets by themselves with the same
// nineteen beside a sick one with 100,000 events waiting and more coming: how
// fast a backlog is worked off, and the 99th percentile of the latency at a
// steady load. Compare the ratios only, and those of one run.
func BenchmarkIsolation(b *testing.B) {
	for name, sick := range sicknesses() {
		b.Run(name, func(b *testing.B) {
			var rates, latencies []float64
			for b.Loop() {
				sickRate, sickP99 := crowdRun(b, sick, 100_000)
				rate, p99 := crowdRun(b, sick, 0)
				rates, latencies = append(rates, sickRate/rate), append(latencies, float64(sickP99)/float64(p99))
			}
			b.ReportMetric(median(rates), "throughput-ratio")
			b.ReportMetric(median(latencies), "p99-ratio")
		})
	}
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

func crowdRun(tb testing.TB, sick sickness, waiting int) (rate float64, p99 time.Duration) {
	tb.Helper()
	b, watch := setupCrowd(tb, sick, waiting)
	const each, seconds, perSecond = 10_000, 5, 50
	b.stop(b.running) // so that there is a backlog when the clock starts
	for i := range crowd - 1 {
		b.publishMany(member(i), "load", each)
	}
	began := time.Now()
	b.running = b.start()
	require.Eventually(tb, func() bool { return b.Ledger().Sum().Events >= (crowd-1)*each }, time.Minute, time.Millisecond)
	rate = float64((crowd-1)*each) / time.Since(began).Seconds()
	b.steadyLoad(seconds*perSecond, time.Second/perSecond, waiting > 0)
	require.Eventually(tb, func() bool { return len(watch.sorted()) >= (crowd-1)*seconds*perSecond }, time.Minute, time.Millisecond)
	b.stop(b.running)
	times := watch.sorted()
	return rate, times[len(times)*99/100]
}

// setupCrowd starts a dispatcher among twenty datasets, one of them sick, and
// waits until the events that wait for that one are parked.
func setupCrowd(tb testing.TB, sick sickness, waiting int) (*harness, *stopwatch) {
	tb.Helper()
	watch := &stopwatch{}
	server := httptest.NewServer(watch)
	tb.Cleanup(server.Close)
	b := setup(tb, func(o *options) {
		o.cfg.Delivery, o.graph.URL = dispatcher.DefaultDelivery(), server.URL
		o.cfg.Streams.AckWait, o.graph.Timeout = 30*time.Second, 15*time.Second
	})
	watch.Handler = b.API
	for i := range crowd {
		b.AddDataset(member(i), token)
		b.Always(member(i), graphtest.Fault{Delay: 20 * time.Millisecond, Accept: true})
	}
	ill := member(crowd - 1)
	if waiting > 0 {
		b.Clear(ill)
		sick.begin(b, ill)
		b.publishMany(ill, "ill", waiting)
		require.Eventually(tb, func() bool { return b.streamSize("CAPI_PARKED") == uint64(waiting) }, 5*time.Minute, 50*time.Millisecond)
	}
	return b, watch
}

func (s *stopwatch) sorted() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.times))
}

// steadyLoad publishes an event of each well dataset, and of the sick one if it
// is to have more, every so often.
func (b *harness) steadyLoad(times int, every time.Duration, sick bool) {
	b.t.Helper()
	members := crowd - 1
	if sick {
		members = crowd
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for n := range times {
		<-ticker.C
		for i := range members {
			id := fmt.Sprintf("at%d-%d-%d", time.Now().UnixNano(), i, n)
			if i == crowd-1 {
				id = "ill " + id // whose latency is not asked for
			}
			_, err := b.js.PublishMsgAsync(&nats.Msg{Subject: "capi.events." + member(i), Data: []byte(event(id))}, jetstream.WithMsgID(id))
			require.NoError(b.t, err)
		}
	}
	<-b.js.PublishAsyncComplete()
}
