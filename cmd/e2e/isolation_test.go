package e2e_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
)

// One of twenty datasets has a dead token, and 100,000 events of its own at the
// front of the stream. The worker stays small, the other datasets' events are
// all accepted meanwhile, and when the token is replaced its own are, by the
// same worker, each once.
func TestOneOfTwentyIsIll(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a hundred thousand events take a minute")
	}
	t.Parallel()
	const crowd, waiting, each, most = 20, 100_000, 1000, 150 << 20
	r := setup(t, asShipped, func(cfg *config.Config) {
		// What is parked stays so until it is called back.
		cfg.Delivery.Park = retry.Backoff{Initial: 5 * time.Second, Max: 10 * time.Minute}
	})
	r.addDatasets(crowd)
	ill := datasetID(crowd - 1)
	r.AddDataset(ill, "the-new-token")
	_, stderr, code := r.run("stream", "ensure")
	require.Zero(t, code, stderr)
	r.publishAll(orders("ill", ill, waiting))
	for i := range crowd - 1 {
		r.publishAll(orders("well", datasetID(i), each))
	}
	w := r.launch(shipped)
	const patience = 10 * time.Minute
	r.awaitFor(patience, "the others' events are accepted", func() bool { return r.Ledger().Sum().Events == (crowd-1)*each })
	r.awaitFor(patience, "the ill one's are parked", func() bool { return r.size("CAPI_PARKED") == waiting })
	require.Zero(t, r.Ledger().Totals(ill).Events)

	require.NoError(t, os.WriteFile(filepath.Join(r.config.Graph.TokenDir, ill), []byte("the-new-token"), 0o600))
	r.awaitFor(patience, "the ill one's events are accepted", func() bool { return r.Ledger().Totals(ill).Events == waiting })
	r.awaitQuiet()
	_, twice := r.Ledger().Distinct()
	require.Zero(t, twice)
	require.Zero(t, r.size("CAPI_DLQ"))
	peak := w.peakMemory()
	t.Logf("%d MB at the most, %d requests for the ill one", peak>>20, r.Ledger().Totals(ill).Requests)
	require.Less(t, peak, most)
}

// orders are n sound events of a dataset.
func orders(prefix, dataset string, n int) []jetstreamMessage {
	messages := make([]jetstreamMessage, 0, n)
	for i := range n {
		messages = append(messages, jetstreamMessage{"capi.events." + dataset, event(prefix+strconv.Itoa(i), "ARAkLk")})
	}
	return messages
}
