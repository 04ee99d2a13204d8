package e2e_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// longForms reports whether tests of faults are to run as long as it takes to
// give figures: `make faults`.
func longForms() bool { return os.Getenv("FAULTS_LONG") != "" }

// A dataset's backlog lies in front of the events of nineteen others. Theirs get
// through all the while, its own are all accepted, and none twice.
func TestABigBacklogDoesNotBlockTheOthers(t *testing.T) {
	t.Parallel()
	const crowd, perSecond, request = 20, 10, 300 * time.Millisecond
	backlog, seconds, most := 60_000, 10, 15*time.Second
	if longForms() {
		backlog, seconds, most = 900_000, 90, 30*time.Second
	}
	r := setup(t, asShipped)
	r.addDatasets(crowd)
	big := datasetID(crowd - 1)
	r.Always(big, graphtest.Fault{Accept: true, AnswerDelay: request})
	_, stderr, code := r.run("stream", "ensure")
	require.Zero(t, code, stderr)
	for sent := 0; sent < backlog; sent += 10_000 {
		r.publishAll(orders(fmt.Sprint("big-", sent, "-"), big, 10_000))
	}
	w := r.launch(shipped)
	began := time.Now()
	r.publishSteadily(crowd-1, perSecond, seconds)
	r.awaitFor(5*time.Minute, "the others' events are accepted", func() bool {
		return r.Ledger().Sum().Events-r.Ledger().Totals(big).Events == (crowd-1)*perSecond*seconds
	})
	latencies := r.latencies()
	p99 := latencies[len(latencies)*99/100]
	t.Logf("the others: p50 %s, p99 %s; of the big one's %d, %d were accepted by then",
		latencies[len(latencies)/2].Round(time.Millisecond), p99.Round(time.Millisecond), backlog, r.Ledger().Totals(big).Events)
	require.Less(t, p99, most)
	r.awaitFor(10*time.Minute, "the big one's events are accepted", func() bool { return r.Ledger().Totals(big).Events >= backlog })
	t.Logf("the big one took %s, in %d requests, with %d MB at the most", time.Since(began).Round(time.Second), r.Ledger().Totals(big).Requests, w.peakMemory()>>20)
	r.awaitQuiet()
	_, twice := r.Ledger().Distinct()
	require.Zero(t, twice)
	require.Zero(t, r.size("CAPI_DLQ"))
}

// publishSteadily publishes events of so many datasets at an even pace. Their ids
// say when each was published.
func (r *rig) publishSteadily(datasets, perSecond, seconds int) {
	r.t.Helper()
	ticker := time.NewTicker(time.Second / time.Duration(perSecond))
	defer ticker.Stop()
	for n := range perSecond * seconds {
		<-ticker.C
		for i := range datasets {
			id := fmt.Sprintf("at-%d-%d-%d", time.Now().UnixNano(), i, n)
			_, err := r.js.PublishAsync("capi.events."+datasetID(i), []byte(event(id, "ARAkLk")))
			require.NoError(r.t, err)
		}
	}
	<-r.js.PublishAsyncComplete()
}

// latencies are the times, in order, from the publishing of each event that says
// when that was, to its acceptance.
func (r *rig) latencies() (all []time.Duration) {
	r.t.Helper()
	for _, e := range r.Ledger().Entries() {
		if at, ok := strings.CutPrefix(e.ID, "at-"); ok {
			digits, _, _ := strings.Cut(at, "-")
			nanos, err := strconv.ParseInt(digits, 10, 64)
			require.NoError(r.t, err)
			all = append(all, e.At.Sub(time.Unix(0, nanos)))
		}
	}
	slices.Sort(all)
	return all
}

// Thousands of datasets with a few events each: what has to make room for others
// comes back while senders are idle, so that all are done about as soon as the
// senders allow, and the log says little of it.
func TestThousandsOfSmallDatasets(t *testing.T) {
	t.Parallel()
	const each, request = 3, 200 * time.Millisecond
	datasets := 1000
	if longForms() {
		datasets = 10_000
	}
	r := setup(t, asShipped)
	r.addDatasets(datasets)
	var messages []jetstreamMessage
	for i := range datasets {
		r.Always(datasetID(i), graphtest.Fault{Accept: true, AnswerDelay: request})
		messages = append(messages, orders("e", datasetID(i), each)...)
	}
	_, stderr, code := r.run("stream", "ensure")
	require.Zero(t, code, stderr)
	r.publishAll(messages)
	r.launch(shipped)
	began := time.Now()
	r.awaitFor(5*time.Minute, "all are accepted", func() bool { return r.Ledger().Sum().Events == len(messages) })
	least := time.Duration(datasets) * request / time.Duration(r.config.Delivery.Senders)
	took, requests := time.Since(began), r.Ledger().Sum().Requests
	t.Logf("%d datasets took %s in %d requests; with one request each, %d senders would take %s; %d lines of warning",
		datasets, took.Round(time.Second), requests, r.config.Delivery.Senders, least.Round(time.Second), strings.Count(r.logs(), `"level":"warn"`))
	require.Less(t, took, 2*least+30*time.Second)
	require.Less(t, strings.Count(r.logs(), `"level":"warn"`), 100)
	r.awaitQuiet()
	_, twice := r.Ledger().Distinct()
	require.Zero(t, twice)
}
