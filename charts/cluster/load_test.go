package cluster_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

const datasets = 5

func datasetID(i int) string { return strconv.Itoa(1_000_000_000_000_000 + i) }

// load is a steady stream of events, a tenth of them copies of earlier ones.
type load struct {
	*servers

	stop context.CancelFunc
	done sync.WaitGroup

	mu        sync.Mutex
	published map[graphtest.Event]bool // acknowledged by NATS
	copies    int
	again     map[graphtest.Event]int // how often it may have been accepted again
}

func (s *servers) newLoad() *load {
	return &load{servers: s, published: make(map[graphtest.Event]bool), again: make(map[graphtest.Event]int)}
}

// start starts the load; it stops with the test at the latest.
func (l *load) start() {
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	l.done.Go(func() { l.run(ctx) })
	l.t.Cleanup(l.end)
}

// end stops the load, and returns when the last event is published.
func (l *load) end() { l.stop(); l.done.Wait() }

// endAndSettle waits, besides, until no event is unprocessed, in flight or
// parked.
func (l *load) endAndSettle() {
	l.t.Helper()
	l.end()
	l.t.Logf("%d parked when the load ends", l.size("CAPI_PARKED"))
	require.Eventually(l.t, func() bool {
		return natstest.Done(l.t.Context(), l.js, "CAPI", "capi-dispatcher") && l.size("CAPI_PARKED") == 0
	}, 2*time.Minute, 50*time.Millisecond, "nothing is left to do")
}

func (l *load) run(ctx context.Context) {
	const every = 4 * time.Millisecond
	random := rand.New(rand.NewPCG(1, 2))
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last []graphtest.Event
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if len(last) > 0 && random.IntN(10) == 0 {
			l.put(last[random.IntN(len(last))], true)
			continue
		}
		event := graphtest.Event{Dataset: datasetID(random.IntN(datasets)), Name: "Purchase", ID: fmt.Sprintf("order-%d", i)}
		l.put(event, false)
		last = append(last, event)
		last = last[max(0, len(last)-1000):]
	}
}

// put publishes one event. What NATS does not acknowledge does not count, and
// does not happen: NATS stays.
func (l *load) put(e graphtest.Event, isCopy bool) {
	body := fmt.Sprintf(`{"event_name":%q,"event_id":%q,"event_time":%d,"action_source":"business_messaging",`+
		`"messaging_channel":"whatsapp","user_data":{"whatsapp_business_account_id":"102290129340398","ctwa_clid":"ARAkLk"},`+
		`"custom_data":{"currency":"EUR","value":12.50}}`, e.Name, e.ID, time.Now().Unix())
	if _, err := l.js.Publish(context.Background(), "capi.events."+e.Dataset, []byte(body)); err != nil {
		l.t.Errorf("publishing: %v", err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.published[e] = true
	if isCopy {
		l.copies++
	}
}

// books is what was published and what became of it, up to a moment.
type books struct{ published, copies, accepted, lost, inDoubt, twice, unexplained int }

func (l *load) books() (b books) {
	counts := l.graph.Ledger().Counts()
	l.mu.Lock()
	defer l.mu.Unlock()
	b.published, b.copies, b.accepted, b.inDoubt = len(l.published), l.copies, len(counts), len(l.again)
	for e := range l.published {
		if counts[e] == 0 {
			b.lost++
		}
	}
	for e, times := range counts {
		b.twice += times - 1
		if !l.published[e] || times > 1+l.again[e] {
			b.unexplained++
		}
	}
	return b
}

// awaitMore waits until so many more events are accepted.
func (l *load) awaitMore(events int) {
	l.t.Helper()
	want := l.books().accepted + events
	require.Eventually(l.t, func() bool { return l.books().accepted >= want }, time.Minute, 20*time.Millisecond, "events flow")
}

// doubt notes the events of a worker that the API has accepted and Redis does
// not know as sent, when the worker has died and its requests have come to
// their end: nobody can know of them.
func (l *load) doubt(worker string) {
	l.t.Helper()
	pipe := l.redis.Pipeline()
	known := make(map[graphtest.Event]*redis.StringCmd)
	for _, e := range l.graph.acceptedFrom(worker) {
		key := dedupe.NewKey("capi-dispatcher", e.Dataset, "event", e.Name, e.ID)
		known[e] = pipe.Get(l.t.Context(), string(key[:]))
	}
	_, _ = pipe.Exec(l.t.Context()) // a key that is not there is an error
	l.mu.Lock()
	defer l.mu.Unlock()
	for e, cmd := range known {
		if cmd.Val() != "1" {
			l.again[e]++
		}
	}
}
