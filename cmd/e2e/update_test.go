package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
)

// A rolling update changes what workers have to agree on, the way a Deployment
// does it without an unavailable pod: a new worker gets ready before an old one is
// stopped. Events keep coming; each is accepted once.
func TestARollingUpdateWithOtherSettings(t *testing.T) {
	t.Parallel()
	const workers, each = 2, 300
	r := setup(t)
	r.addDatasets(3)
	published := 0
	publish := func() {
		for i := range 3 {
			r.publishAll(orders(fmt.Sprint("after", published, "-"), datasetID(i), each))
			published += each
		}
	}
	var old, next []*worker
	for range workers {
		old = append(old, r.start())
	}
	publish()
	r.config.NATS.AckWait, r.config.Dedupe.Key = 12*time.Second, dispatcher.ByEventID
	for i := range workers {
		next = append(next, r.start())
		require.False(t, next[i].readiness().ok("workers"))
		publish()
		old[i].stop()
	}
	publish()
	for _, w := range next {
		r.await("the new workers take over", func() bool { return w.readiness().ok("workers") })
	}
	r.await("all are accepted", func() bool { return r.Ledger().Sum().Events == published })
	r.awaitQuiet()
	distinct, twice := r.Ledger().Distinct()
	require.Equal(t, published, distinct)
	require.Zero(t, twice)
	require.Zero(t, r.size("CAPI_DLQ"))
}
