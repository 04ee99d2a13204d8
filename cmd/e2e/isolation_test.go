package e2e_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// One of twenty datasets is ill for the whole run, with 100,000 events of its own at
// the front of the stream. The worker stays small, the other datasets'
// events are all accepted meanwhile, and when it is well again its own are, by
// the same worker, each once.
func TestOneOfTwentyIsIll(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a hundred thousand events, three times, take a minute")
	}
	t.Parallel()
	const crowd, waiting, each, most = 20, 100_000, 1000, 150 << 20
	ill := datasetID(crowd - 1)
	always := func(fault graphtest.Fault) [2]func(*rig) {
		return [2]func(*rig){func(r *rig) { r.Always(ill, fault) }, func(r *rig) { r.Clear(ill) }}
	}
	for name, sickness := range map[string][2]func(*rig){
		"down":      always(graphtest.Fault{Status: 503, Body: "<html>Service Unavailable</html>"}),
		"throttled": always(graphtest.Fault{Status: 429, Error: &graphtest.Error{Code: 80004, Message: "too many calls"}}),
		"dead token": {
			func(r *rig) { r.AddDataset(ill, "the-new-token") },
			func(r *rig) {
				file := filepath.Join(r.config.Graph.TokenDir, ill)
				require.NoError(r.t, os.WriteFile(file, []byte("the-new-token"), 0o600))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := setup(t, asShipped, func(cfg *config.Config) {
				cfg.Delivery.Park = dispatcher.Backoff{Initial: 5 * time.Second, Max: 20 * time.Second}
			})
			r.addDatasets(crowd)
			sickness[0](r)
			_, stderr, code := r.run("stream", "ensure")
			require.Zero(t, code, stderr)
			r.publishAll(orders("ill", ill, waiting))
			for i := range crowd - 1 {
				r.publishAll(orders("well", datasetID(i), each))
			}
			w := r.launch(shipped)
			r.await("the others' events are accepted", func() bool { return r.Ledger().Sum().Events == (crowd-1)*each })
			r.await("the ill one's are parked", func() bool { return r.size("CAPI_PARKED") == waiting })
			require.Zero(t, r.Ledger().Totals(ill).Events)
			sickness[1](r)
			r.awaitFor(3*time.Minute, "the ill one's events are accepted", func() bool { return r.Ledger().Totals(ill).Events == waiting })
			r.awaitQuiet()
			_, twice := r.Ledger().Distinct()
			require.Zero(t, twice)
			require.Zero(t, r.size("CAPI_DLQ"))
			peak := w.peakMemory()
			t.Logf("%d MB at the most, %d requests for the ill one", peak>>20, r.Ledger().Totals(ill).Requests)
			require.Less(t, peak, most)
		})
	}
}

// orders are n sound events of a dataset.
func orders(prefix, dataset string, n int) []jetstreamMessage {
	messages := make([]jetstreamMessage, 0, n)
	for i := range n {
		messages = append(messages, jetstreamMessage{"capi.events." + dataset, event(prefix+strconv.Itoa(i), "ARAkLk")})
	}
	return messages
}
