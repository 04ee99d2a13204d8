package e2e_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Events are published while NATS goes away and comes back, and again in part:
// each is accepted once, and few lines say what has happened.
func TestPublishingThroughAnOutage(t *testing.T) {
	t.Parallel()
	const events = 3000
	r := setup(t)
	r.addDatasets(1)
	r.must("stream", "ensure")
	lines := make([]string, events)
	for i := range lines {
		lines[i] = event(fmt.Sprint("event-", i), "x") + "\n"
	}
	input, feed := io.Pipe()
	done := make(chan struct{})
	var stdout, stderr string
	var code int
	go func() {
		defer close(done)
		stdout, stderr, code = r.runWith(input, "publish", "-", "--dataset", datasetID(0))
	}()
	_, err := io.WriteString(feed, strings.Join(lines[:2500], "")) // more than may be unacknowledged
	require.NoError(t, err)
	r.await("some are on the stream", func() bool { return r.size("CAPI") > 0 })
	r.nats.Stop()
	go func() { // it is not read as long as NATS is away
		_, _ = io.WriteString(feed, strings.Join(lines[2500:], ""))
		_ = feed.Close()
	}()
	r.nats.Restart()
	<-done
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "3000 events in 3000 messages published")
	require.Less(t, strings.Count(stderr, "\n"), 12, stderr)

	r.must("publish", r.file("again.ndjson", strings.Join(lines, "")), "--dataset", datasetID(0), "--from", "2901")
	require.GreaterOrEqual(t, r.size("CAPI"), events+100)
	r.start()
	r.awaitQuiet()
	distinct, again := r.Ledger().Distinct()
	require.Equal(t, events, distinct)
	require.Zero(t, again, "copies are recognised")
}

// A NATS that stays away ends it, with the place to go on from.
func TestPublishingGivesUpOnceItsPatienceEnds(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.addDatasets(1)
	r.must("stream", "ensure")
	input, feed := io.Pipe()
	done := make(chan struct{})
	var stdout, stderr string
	var code int
	go func() {
		defer close(done)
		stdout, stderr, code = r.runWith(input, "publish", "-", "--dataset", datasetID(0), "--wait", "1s", "--json")
		_ = input.Close() // what is written from here on is for nobody
	}()
	for i := 0; r.size("CAPI") <= 0; i++ {
		_, err := io.WriteString(feed, event(fmt.Sprint("a-", i), "x")+"\n")
		require.NoError(t, err)
	}
	r.nats.Stop()
	for i := range 5000 {
		if _, err := io.WriteString(feed, event(fmt.Sprint("b-", i), "x")+"\n"); err != nil {
			break
		}
	}
	_ = feed.Close()
	<-done
	require.Equal(t, 1, code)
	require.Less(t, strings.Count(stderr, "\n"), 8, stderr)
	require.Contains(t, stderr, "NATS was away for too long")
	require.Regexp(t, `to go on, run it again with --from \d+, or from the start: workers recognise copies for 8 days \(dedupe\.window\)`, stderr)
	require.Regexp(t, `"resume_from":\d+`, stdout)
}

// However much is wrong with an input, what is printed of it has an end.
func TestOutputIsBounded(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.addDatasets(1)
	r.must("stream", "ensure")
	faulty := r.file("faulty.ndjson", strings.Repeat(`{"event_name":"Purchase"}`+"\n", 2500))
	contents := strings.TrimSuffix(strings.Repeat(`{"id":"a","quantity":"many","item_price":"x"},`, 350), ",")
	one := r.file("one.ndjson", strings.Replace(event("a", "x"), `"custom_data":{`, `"custom_data":{"contents":[`+contents+`],`, 1))
	body := r.file("body.json", `{"data":[`+strings.TrimSuffix(strings.Repeat(event("a", "x")+",", 200), ",")+`]}`)
	many := r.file("many.ndjson", strings.Repeat(event("a", "x")+"\n", 40))
	test := []string{"test-event", "--dataset", datasetID(0), "--code", "TEST1"}
	for _, tc := range []struct {
		verb       []string
		file       string
		most, less int // lines, without and with --all
		says       string
	}{
		{[]string{"validate"}, faulty, 53, 12500, "more lines: --all prints them"},
		{[]string{"publish"}, faulty, 53, 12500, "more lines: --all prints them"},
		{test, faulty, 53, 12500, "more lines: --all prints them"},
		{[]string{"validate"}, one, 13, 50, "line 1: … and "},
		{[]string{"publish"}, one, 13, 50, "line 1: … and "},
		{test, one, 13, 50, "line 1: … and "},
		{test, body, 100, 2000, "more lines: --all prints them"},
		{test, many, 400, 1200, "… and 30 requests more: accepted; --all shows them"},
	} {
		stdout, stderr, _ := r.run(append(tc.verb, tc.file)...)
		require.LessOrEqual(t, strings.Count(stdout+stderr, "\n"), tc.most, "%v %s", tc.verb, tc.file)
		require.Contains(t, stdout+stderr, tc.says, "%v %s", tc.verb, tc.file)
		stdout, stderr, _ = r.run(append(tc.verb, tc.file, "--all")...)
		require.GreaterOrEqual(t, strings.Count(stdout+stderr, "\n"), tc.less, "%v %s", tc.verb, tc.file)
		require.NotContains(t, stdout+stderr, "--all", "%v %s", tc.verb, tc.file)
	}
}
