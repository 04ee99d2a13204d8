package e2e_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// smallBatches are answered in time by a busy machine, too.
func smallBatches(cfg *config.Config) { cfg.Batch.MaxEvents = 100 }

// The worker is killed twenty times under load, whatever it is doing. Nothing
// is lost; only events that were sent and not yet remembered at a kill are
// accepted again, and each at most once a kill.
func TestKilledTwentyTimes(t *testing.T) {
	t.Parallel()
	r := setup(t, smallBatches, func(cfg *config.Config) {
		// What a busy worker parks unclaimed waits for so long, if a dead one has
		// left a claim on it.
		cfg.Dedupe.Takeover = 3 * cfg.NATS.AckWait
	})
	const datasets, n, kills = 10, 20_000, 20
	r.addDatasets(datasets)
	l := newLoad(n, datasets)
	w := r.start()
	var publishing sync.WaitGroup
	publishing.Go(func() { r.publishAll(l.messages) })
	t.Cleanup(publishing.Wait)

	random := rand.New(rand.NewPCG(1, 1))
	again, before, inDoubt := make(map[graphtest.Event]int), r.Ledger().Counts(), 0
	for range kills {
		batches := r.Ledger().Sum().Batches
		r.await("it works", func() bool { return r.Ledger().Sum().Batches > batches })
		time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond) // kill anywhere in what it does
		w.kill()
		doubtful, counts := r.sentAndNotRemembered(l.good), r.Ledger().Counts()
		for _, e := range doubtful {
			if counts[e] > before[e] { // else it is in doubt since an earlier kill
				again[e]++
				inDoubt++
			}
		}
		before = counts
		w = r.start()
	}
	publishing.Wait()
	r.requireEnded(l, again)
	_, twice := r.Ledger().Distinct()
	t.Logf("%d kills: %d events published, 0 lost, %d in doubt at a kill, %d accepted twice", kills, len(l.good), inDoubt, twice)
}

// sentAndNotRemembered lists the events that Meta has accepted and Redis does
// not know as sent: those whose request was in flight, or just answered, when
// the worker died or froze. Its requests are let come to their end first, and
// its connections are closed, so that none arrives later.
func (r *rig) sentAndNotRemembered(good map[graphtest.Event]bool) (doubtful []graphtest.Event) {
	r.t.Helper()
	r.graph.goAway(2 * time.Second)
	r.graph.comeBack()
	client := r.redis.Client()
	defer func() { _ = client.Close() }()
	pipe := client.Pipeline()
	known := make(map[graphtest.Event]*redis.StringCmd)
	for e := range r.Ledger().Counts() {
		key := dedupe.NewKey("capi-dispatcher", e.Dataset, "event", e.Name, e.ID)
		known[e] = pipe.Get(r.t.Context(), string(key[:]))
	}
	_, _ = pipe.Exec(r.t.Context())
	for e, cmd := range known {
		require.True(r.t, good[e])
		if cmd.Val() != "1" {
			doubtful = append(doubtful, e)
		}
	}
	return doubtful
}

// A worker that hangs for longer than AckWait loses its messages to another.
// When it wakes up it sends none of them.
func TestAWorkerThatHangs(t *testing.T) {
	t.Parallel()
	r := setup(t, smallBatches, func(cfg *config.Config) {
		cfg.Delivery.SendersPerDataset = 1
		cfg.Dedupe.Takeover = 3 * cfg.NATS.AckWait
	})
	const datasets, n = 5, 5000
	r.addDatasets(datasets)
	l := newLoad(n, datasets)
	hanging := r.start()
	r.publishAll(l.messages)
	r.await("it works", func() bool { return r.Ledger().Sum().Batches > 0 })
	hanging.freeze()
	doubtful := r.sentAndNotRemembered(l.good)

	r.start()
	r.awaitFor(2*time.Minute, "another worker does its work", func() bool {
		return r.size("CAPI_DLQ") >= len(l.poison) && len(r.Ledger().Counts()) >= len(l.good)
	})
	require.NoError(t, hanging.cmd.Process.Signal(syscall.SIGCONT))
	r.awaitQuiet()
	hanging.stop()
	again := make(map[graphtest.Event]int)
	for _, e := range doubtful {
		again[e]++
	}
	r.requireOnce(l.good, again)
	require.Len(t, r.letters(), len(l.poison))
}

func TestStoppedUnderLoad(t *testing.T) {
	t.Parallel()
	r := setup(t, smallBatches)
	const datasets, n = 10, 20_000
	r.addDatasets(datasets)
	l := newLoad(n, datasets)
	w := r.start()
	var publishing sync.WaitGroup
	publishing.Go(func() { r.publishAll(l.messages) })
	t.Cleanup(publishing.Wait)
	for _, part := range []int{1000, 4000, 8000} {
		r.await("it works", func() bool { return len(r.Ledger().Counts()) >= part })
		took := w.stop()
		require.Less(t, took, r.config.Delivery.DrainTimeout+15*time.Second, "docs/reliability.md says so")
		t.Logf("stopped in %s", took.Round(time.Millisecond))
		w = r.start()
	}
	publishing.Wait()
	r.requireEnded(l, nil)
}

// The second signal does not wait for anything.
func TestTheSecondSignalEndsItAtOnce(t *testing.T) {
	t.Parallel()
	r := setup(t, func(cfg *config.Config) {
		cfg.Graph.Timeout, cfg.NATS.AckWait, cfg.Delivery.DrainTimeout = time.Minute, 2*time.Minute, time.Minute
	})
	r.addDatasets(1)
	r.Always(datasetID(0), graphtest.Fault{Delay: time.Minute})
	w := r.start()
	r.publishAll([]jetstreamMessage{{"capi.events." + datasetID(0), event("a", "x")}})
	r.await("a request is in flight", func() bool { return r.Ledger().InFlight() == 1 })
	require.NoError(t, w.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-w.ended:
		t.Fatal("it did not wait for its request")
	case <-time.After(500 * time.Millisecond):
	}
	r.await("the first signal has come", func() bool { return strings.Contains(r.logs(), "stopping: no new events") })
	// Until the program listens to the second as the system does, it is one
	// that it has had.
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	const farBelowTheRequest = 20 * time.Second
	for late := time.After(farBelowTheRequest); ; {
		select {
		case err := <-w.ended:
			require.Error(t, err)
			return
		case <-again.C:
			_ = w.cmd.Process.Signal(syscall.SIGTERM)
		case <-late:
			t.Fatal("it is still there")
		}
	}
}
