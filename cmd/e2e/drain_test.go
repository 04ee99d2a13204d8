package e2e_test

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// SIGHUP, as a terminal that is closed sends it, does not end a worker, least of
// all without a drain.
func TestAHangUpIsIgnored(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.addDatasets(1)
	w := r.start()
	require.NoError(t, w.cmd.Process.Signal(syscall.SIGHUP))
	r.publishAll(orders("after", datasetID(0), 100))
	r.await("events are accepted", func() bool { return r.Ledger().Totals(datasetID(0)).Events == 100 })
	require.NoError(t, w.cmd.Process.Signal(syscall.SIGHUP))
	w.stop()
	r.awaitQuiet()
	require.Contains(t, r.must("run", "--help"), "SIGHUP is ignored")
}
