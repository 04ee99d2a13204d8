package e2e_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// Redis away for 10 s, NATS restarted, Meta away for 30 s, while events keep
// coming: nothing is lost or accepted twice, /readyz tells, and all is well
// again by itself.
func TestOutages(t *testing.T) {
	t.Parallel()
	r := setup(t)
	const datasets = 5
	r.addDatasets(datasets)
	w := r.start()
	stream := r.keepPublishing(datasets)

	r.redis.Kill()
	r.await("/readyz tells of Redis", func() bool { return !w.readiness().ok("redis") })
	time.Sleep(10 * time.Second)
	r.redis.Restart()
	r.await("ready again", func() bool { return w.readiness().Ready })

	r.nats.Stop()
	r.await("/readyz tells of NATS", func() bool { return !w.readiness().ok("nats") })
	r.nats.Restart()
	r.await("ready again", func() bool { return w.readiness().Ready })

	r.graph.goAway(time.Minute)
	r.await("/readyz tells of Meta", func() bool { return !w.readiness().ok("graph") })
	time.Sleep(30 * time.Second)
	r.graph.comeBack()
	r.await("ready again", func() bool { return w.readiness().Ready })

	good := stream.stop()
	r.awaitFor(2*time.Minute, "every event is accepted", func() bool { return len(r.Ledger().Counts()) >= len(good) })
	r.awaitQuiet()
	r.requireOnce(good, nil)
	require.Zero(t, r.size("CAPI_DLQ"))
	t.Logf("%d events, none lost, none accepted twice", len(good))
}

// stream is a producer that goes on whatever happens.
type stream struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	good   map[graphtest.Event]bool
}

// keepPublishing publishes about 200 events a second. One that NATS does not
// acknowledge is published again, as any producer would.
func (r *rig) keepPublishing(datasets int) *stream {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	s := &stream{cancel: cancel, good: make(map[graphtest.Event]bool)}
	r.t.Cleanup(func() { s.stop() })
	s.done.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			dataset, id := datasetID(i%datasets), fmt.Sprintf("order-%d", i)
			for !r.publishOnce("capi.events."+dataset, event(id, "ARAkLk")) {
				time.Sleep(50 * time.Millisecond)
			}
			s.good[graphtest.Event{Dataset: dataset, Name: "Purchase", ID: id}] = true
			time.Sleep(5 * time.Millisecond)
		}
	})
	return s
}

func (r *rig) publishOnce(subject, body string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, err := r.js.Publish(ctx, subject, []byte(body))
	return err == nil
}

func (s *stream) stop() map[graphtest.Event]bool {
	s.cancel()
	s.done.Wait()
	return s.good
}

// Half a million events wait and Meta is away: the worker's memory stays
// small, whether nobody answers or every answer is an error.
func TestMemoryWithABacklog(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: half a million events take a minute")
	}
	t.Parallel()
	const events, datasets = 500_000, 20
	r := setup(t, asShipped)
	r.addDatasets(datasets)
	_, stderr, code := r.run("stream", "ensure")
	require.Zero(t, code, stderr)
	messages := make([]jetstreamMessage, 0, events)
	for i := range events {
		messages = append(messages, jetstreamMessage{"capi.events." + datasetID(i%datasets), event(strconv.Itoa(i), "ARAkLk")})
	}
	r.publishAll(messages)
	for _, away := range []struct {
		how   string
		begin func()
	}{
		{"nobody answers", func() { r.graph.goAway(time.Minute) }},
		{"every answer is an error", func() {
			for i := range datasets {
				r.Always(datasetID(i), graphtest.Fault{Status: 503})
			}
			r.graph.comeBack()
		}},
	} {
		away.begin()
		w := r.launch(shipped)
		time.Sleep(30 * time.Second) // as much as it will ever take in is in after a third of this
		const most = 150 << 20
		peak := w.peakMemory()
		t.Logf("%s: %d MB at the most, with %d events waiting", away.how, peak>>20, events)
		require.Less(t, peak, most)
		w.kill()
	}
	require.Zero(t, r.Ledger().Sum().Events)
}

// asShipped sets the times and limits that are shipped.
func asShipped(cfg *config.Config) {
	defaults := config.Default()
	cfg.NATS.Streams, cfg.Delivery, cfg.Graph.Timeout = defaults.NATS.Streams, defaults.Delivery, defaults.Graph.Timeout
}

// peakMemory returns the most resident memory, in bytes, that the process has
// had.
func (w *worker) peakMemory() (bytes int) {
	w.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.cmd.Process.Pid))
	require.NoError(w.t, err)
	_, after, found := strings.Cut(string(status), "VmHWM:")
	require.True(w.t, found, "the worker is running, on Linux")
	var kilobytes int
	_, err = fmt.Sscan(after, &kilobytes)
	require.NoError(w.t, err)
	return kilobytes << 10
}
