package dispatcher_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// fussy stands before the simulated API and refuses what holds an odd event,
// with a code that nobody has written down.
type fussy struct {
	mu    sync.Mutex
	alone []string // ids of events that were refused alone, in order
	good  int      // how many they were at the first request without an odd event
	some  bool     // there was one
}

var eventID = regexp.MustCompile(`"event_id":"([^"]*)"`)

func (f *fussy) start(t *testing.T, api string) string {
	t.Helper()
	target, err := url.Parse(api)
	require.NoError(t, err)
	behind := httputil.NewSingleHostReverseProxy(target)
	transport := &http.Transport{}
	behind.Transport = transport
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if ids := eventID.FindAllSubmatch(sent, -1); bytes.Contains(sent, []byte(`"odd-`)) {
			f.note(ids)
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":{"code":424242,"message":"no"}}`))
			return
		}
		f.noteGood()
		r.Body = io.NopCloser(bytes.NewReader(sent))
		behind.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { server.Close(); transport.CloseIdleConnections() })
	return server.URL
}

func (f *fussy) note(ids [][][]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(ids) == 1 {
		f.alone = append(f.alone, string(ids[0][1]))
	}
}

func (f *fussy) noteGood() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.some {
		f.some, f.good = true, len(f.alone)
	}
}

// untilGood is how many events had been refused alone when another was sent.
func (f *fussy) untilGood() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.good
}

func (f *fussy) refusedAlone() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.alone...)
}

func odd(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = event(fmt.Sprintf("odd-%d", i))
	}
	return list
}

func patientPark(o *options) {
	o.cfg.Delivery.Park = retry.Backoff{Initial: 10 * time.Second, Max: 10 * time.Second}
}

// What refuses everything is a setting. It costs a handful of events, or none
// where the code is known, and the others wait until it is mended.
func TestASettingIsNoPoison(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err     graphtest.Error
		letters int
		reason  string
	}{
		"the app is deleted":           {graphtest.Error{Code: 101, Message: "Error validating application. Application has been deleted."}, 0, "paused"},
		"the address is not allowed":   {graphtest.Error{Code: 5, Message: "(#5) Unauthorized source IP address"}, 0, "paused"},
		"a permission is missing":      {graphtest.Error{Code: 100, Message: "(#100) Missing Permission"}, 8, "refused"},
		"a code that nobody has known": {graphtest.Error{Code: 424242, Message: "no"}, 8, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, patientPark)
			b.Always(dataset, graphtest.Fault{Error: &tc.err})
			b.publish(dataset, body(events(64)...))
			b.await("all are parked or dead", func() bool {
				return b.settledAs("parked") >= int64(64-tc.letters)
			})
			require.Len(t, b.letters(), tc.letters)
			require.LessOrEqual(t, b.Ledger().Sum().Requests, 40)
			paused := []attribute.KeyValue{attribute.String("dataset", dataset), attribute.String("reason", tc.reason)}
			require.EqualValues(t, 1, b.books("capi.dataset.paused", paused...))
			b.Clear(dataset)
			b.awaitAccepted(64 - tc.letters)
			b.awaitQuiet()
			require.Len(t, b.letters(), tc.letters, "none of those that have waited")
			b.requireBalance()
			b.requireNoneTwice()
		})
	}
}

// A setting that is mended while a few events are tried costs no more than a
// handful, either: those that were refused before the first acceptance are sent
// once more.
func TestASettingIsMendedMeanwhile(t *testing.T) {
	t.Parallel()
	refused := graphtest.Fault{Error: &graphtest.Error{Code: 424242, Message: "no"}}
	for _, requests := range []int{20, 22, 24} { // the handful has died, and some of the others were tried
		t.Run(fmt.Sprint("after ", requests), func(t *testing.T) {
			t.Parallel()
			b := setup(t, patientPark)
			b.Script(dataset, slices.Repeat([]graphtest.Fault{refused}, requests)...)
			b.publish(dataset, body(events(64)...))
			b.awaitAccepted(56)
			b.awaitQuiet()
			require.Len(t, b.letters(), 8)
			require.Zero(t, b.settledAs("parked"), "nothing had to wait")
			b.requireNoneTwice()
			b.requireBalance()
		})
	}
}

// Culprits among events that are accepted die as they always did, however many
// they are, and stop nobody.
func TestPoisonOfAnUnknownKindAmongGoodEvents(t *testing.T) {
	t.Parallel()
	for name, messages := range map[string][]string{
		"in front of the others": append(odd(200), events(300)...),
		"one by one":             alternating(odd(200), events(200)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var meta fussy
			b := setup(t, patientPark, func(o *options) { o.graph.URL = meta.start(t, o.graph.URL) })
			b.publish(dataset, body(messages...))
			b.awaitLetters(200)
			b.awaitAccepted(len(messages) - 200)
			b.awaitQuiet()
			require.Zero(t, b.settledAs("parked"), "nothing had to wait")
			b.requireBalance()
		})
	}
}

// The worst case: a producer's poison stands alone in front of everybody's
// events. The dataset pauses; the first trial finds one of the others.
//
// With default settings that is soon enough: the first trial is due within a
// minute (delivery.park.initial), the second within two more, the third within
// four more: three trials within 7 minutes, and then a thousand events come back
// every half second. The good ones are accepted within 10 minutes if the third
// trial finds one. Here the first or second does, with other pauses.
func TestOneProducersPoisonDoesNotStopTheDataset(t *testing.T) {
	t.Parallel()
	var meta fussy
	b := setup(t, patientPark, func(o *options) { o.graph.URL = meta.start(t, o.graph.URL) })
	b.publish(dataset, body(odd(200)...))
	b.await("the dataset is paused", func() bool { return b.settledAs("parked") >= 192 })
	before := len(meta.refusedAlone())
	require.LessOrEqual(t, before, 16, "a handful that died, and a handful of others")
	b.publish(dataset, body(events(1000)...))
	b.awaitAccepted(1000)
	const perTrial, trials = 8, 3
	require.LessOrEqual(t, meta.untilGood()-before, perTrial*trials)
	b.publishUntil("all poison is dead", func() bool { return b.streamSize("CAPI_DLQ") >= 200 })
	b.awaitLetters(200)
	b.awaitQuiet()
	b.requireBalance()
	b.requireNoneTwice()
}

// publishUntil publishes a good event now and then. Poison waits while nothing good
// is accepted beside it, as nothing tells it from a setting: where the last good
// event overtakes more than a handful, they would wait for the next.
func (b *harness) publishUntil(what string, done func() bool) {
	b.t.Helper()
	var last time.Time
	b.await(what, func() bool {
		if time.Since(last) > 500*time.Millisecond {
			last = time.Now()
			b.publish(dataset, event(fmt.Sprint("good-", last.UnixNano())))
		}
		return done()
	})
}

// A trial tries a few events, from the oldest to the newest, and none again
// before all others were tried.
func TestATrialTriesAFewEventsAndNoneTwice(t *testing.T) {
	t.Parallel()
	var meta fussy
	b := setup(t, func(o *options) {
		o.cfg.Delivery.Park = retry.Backoff{Initial: time.Second, Max: time.Hour}
		o.graph.URL = meta.start(t, o.graph.URL)
	})
	const n = 32
	b.publish(dataset, body(odd(n)...))
	b.await("each was tried alone", func() bool { return len(distinct(meta.refusedAlone())) == n })
	tried := meta.refusedAlone()
	require.Len(t, distinct(tried[:n]), n, "none twice before all were tried: %v", tried[:n])
	require.Len(t, b.letters(), 8)
	b.publish(dataset, event("good"))
	b.awaitAccepted(1)
	b.awaitLetters(n)
	b.awaitQuiet()
}

func alternating(a, b []string) (both []string) {
	for i := range a {
		both = append(both, a[i], b[i])
	}
	return both
}

func distinct(ids []string) map[string]bool {
	set := make(map[string]bool)
	for _, id := range ids {
		set[id] = true
	}
	return set
}
