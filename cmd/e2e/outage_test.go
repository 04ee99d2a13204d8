package e2e_test

import (
	"context"
	"fmt"
	"os/exec"
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

	r.graph.goAway()
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

// half a million events wait and Meta is away: the worker's memory stays
// small, whether nobody answers or every answer is an error.
func TestMemoryWithABacklog(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: half a million events take a minute")
	}
	t.Parallel()
	const events, datasets, most = 500_000, 20, 150 << 20
	for name, away := range map[string]func(r *rig){
		"nobody answers": func(r *rig) { r.graph.goAway() },
		"every answer is an error": func(r *rig) {
			for i := range datasets {
				r.Always(datasetID(i), graphtest.Fault{Status: 503})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := setup(t, func(cfg *config.Config) {
				// As it is shipped, but for what leads to our servers.
				defaults := config.Default()
				cfg.NATS.Streams, cfg.Delivery, cfg.Graph.Timeout = defaults.NATS.Streams, defaults.Delivery, defaults.Graph.Timeout
			})
			r.addDatasets(datasets)
			_, stderr, code := r.run("stream", "ensure")
			require.Zero(t, code, stderr)
			messages := make([]jetstreamMessage, 0, events)
			for i := range events {
				messages = append(messages, jetstreamMessage{"capi.events." + datasetID(i%datasets), event(strconv.Itoa(i), "ARAkLk")})
			}
			r.publishAll(messages)
			away(r)
			w := r.launch(shipped)
			peak := w.watchMemory(45 * time.Second)
			t.Logf("%d MB at the most, with %d events waiting and Meta away", peak>>20, events)
			require.Less(t, peak, most)
		})
	}
}

// watchMemory returns the most resident memory, in bytes, that the process has
// over a while.
func (w *worker) watchMemory(during time.Duration) (peak int) {
	w.t.Helper()
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		out, err := exec.CommandContext(w.t.Context(), "ps", "-o", "rss=", "-p", strconv.Itoa(w.cmd.Process.Pid)).Output()
		require.NoError(w.t, err, "the worker is running")
		kilobytes, err := strconv.Atoi(strings.TrimSpace(string(out)))
		require.NoError(w.t, err)
		peak = max(peak, kilobytes<<10)
	}
	return peak
}
