package main_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A collector that hangs, or is away, changes nothing for events: all are accepted,
// the worker holds no more than the spans that may wait, says once that some are
// lost, counts them, and ends in time.
func TestTheWorkerDoesNotNoticeWhatTheCollectorDoes(t *testing.T) {
	const events, each = 40_000, 1000
	for name, trouble := range map[string]func(*rig){
		"hanging": func(r *rig) { r.collector.signal(syscall.SIGSTOP) },
		"away": func(r *rig) {
			r.collector.signal(syscall.SIGKILL)
			r.await("it is gone", func() bool { return !listens(r.grpc) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := setup(t)
			dataset := datasetOf(1)
			r.AddDataset(dataset, token)
			r.startWorker("OTEL_EXPORTER_OTLP_TIMEOUT=500", "OTEL_METRICS_EXPORTER=none")
			accepted := func() int { n, _ := r.Ledger().Distinct(); return n }
			publish := func(from, to int) {
				for at := from; at < to; at += each {
					var body []string
					for i := at; i < at+each; i++ {
						body = append(body, event(fmt.Sprint("e", i)))
					}
					_, err := r.js.Publish(t.Context(), "capi.events."+dataset, []byte(`{"data":[`+strings.Join(body, ",")+`]}`))
					require.NoError(t, err)
				}
				r.await("all are accepted", func() bool { return accepted() == to })
			}
			publish(0, events/2) // so that it has the memory that it needs
			before := r.worker.memory(t)
			trouble(r)
			publish(events/2, events)
			r.await("lost spans are counted", func() bool { return r.lostSpans() > 0 })
			const room = 80 << 20 // for 8192 spans, and what the garbage collector leaves
			require.Less(t, r.worker.memory(t), before+room)
			r.await("and that is said", func() bool { return strings.Contains(r.worker.output(t), "spans are lost") })
			require.Equal(t, 1, strings.Count(r.worker.output(t), `"component":"otel"`), "once")
			require.Less(t, r.worker.stop(t), 10*time.Second)
		})
	}
}

var lostSpans = regexp.MustCompile(`(?m)^capi_spans_lost_total\{[^}]*\} (\S+)$`)

// lostSpans is how many spans the worker has lost.
func (r *rig) lostSpans() (lost float64) {
	text, err := r.get("/metrics")
	require.NoError(r.t, err)
	for _, match := range lostSpans.FindAllStringSubmatch(text, -1) {
		n, err := strconv.ParseFloat(match[1], 64)
		require.NoError(r.t, err)
		lost += n
	}
	return lost
}
