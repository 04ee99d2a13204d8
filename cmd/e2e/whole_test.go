package e2e_test

import (
	"encoding/json"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// The payloads of Meta's guides, as single events and as whole request bodies,
// for all three channels: accepted, with every byte as it was.
func TestMetasOwnSamples(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.addDatasets(2)
	r.start()
	samples := graphtest.Samples(time.Now())
	for _, sample := range samples {
		// Without an event_id, events are told apart by their content, and
		// the guides repeat each other: a field that Meta does not know, with
		// a number that no float64 can hold, makes each its own.
		mark := `"x_sample": {"name": "` + sample.Name + `", "big": 12345678901234567890.123456789, "esc": "\u00e9\/"}, "event_name"`
		single := strings.Replace(string(sample.Event), `"event_name"`, mark, 1)
		body := strings.Replace(string(sample.Body), `"event_name"`, mark, 1)
		r.publishAll([]jetstreamMessage{{"capi.events." + datasetID(0), single}, {"capi.events." + datasetID(1), body}})
	}
	r.await("all are accepted", func() bool { return r.Ledger().Sum().Events == 2*len(samples) })
	got := make(map[string][]graphtest.Entry)
	for _, entry := range r.Ledger().Entries() {
		var marked struct {
			Sample struct{ Name string } `json:"x_sample"`
		}
		require.NoError(t, json.Unmarshal(entry.Raw, &marked))
		got[marked.Sample.Name] = append(got[marked.Sample.Name], entry)
	}
	for _, sample := range samples {
		require.Len(t, got[sample.Name], 2, sample.Name)
		for _, entry := range got[sample.Name] {
			without := regexp.MustCompile(`"x_sample": .*?}, `).ReplaceAllString(string(entry.Raw), "")
			want := strings.Replace(string(sample.Event), `"instagram_business_account_id"`, `"ig_account_id"`, 1)
			require.Equal(t, want, without, "every byte is kept, but for the id that the live API wants")
			require.Contains(t, string(entry.Raw), `"big": 12345678901234567890.123456789, "esc": "\u00e9\/"`)
			if entry.Dataset == datasetID(1) {
				require.Equal(t, "acme", entry.PartnerAgent)
			}
		}
	}
	r.awaitQuiet()
	require.Zero(t, r.size("CAPI_DLQ"))
}

// 20,000 messages over 20 datasets, a tenth of them copies, one in a hundred
// poison.
func TestTheBooksBalance(t *testing.T) {
	t.Parallel()
	// So long that nothing is delivered again, or parked, however slow the
	// machine is: the books are to be exact.
	r := setup(t, func(cfg *config.Config) {
		cfg.NATS.AckWait, cfg.Graph.Timeout, cfg.Delivery.MaxWait = time.Minute, 20*time.Second, time.Hour
	})
	const datasets, n = 20, 20_000
	r.addDatasets(datasets)
	w := r.start()
	l := newLoad(n, datasets)
	began := time.Now()
	r.publishAll(l.messages)
	r.awaitFor(5*time.Minute, "every event has come to its end", func() bool {
		return r.size("CAPI_DLQ") >= len(l.poison) && len(r.Ledger().Counts()) >= len(l.good)
	})
	r.awaitQuiet()
	took := time.Since(began)
	r.requireOnce(l.good, nil)
	letters := r.letters()
	require.Len(t, letters, len(l.poison), "each poison once")
	for _, letter := range letters {
		require.Equal(t, deadletter.Refused, letter.Reason)
		require.Equal(t, 2804087, letter.Graph.Subcode)
		require.True(t, l.poison[idOf(t, letter.Event)])
	}
	books := w.metrics()
	require.Equal(t, n, books["capi_events_received_total"])
	require.Equal(t, n, books["capi_events_settled_total"])
	require.Zero(t, books["capi_events_in_flight"])
	require.Equal(t, len(l.good), books[`capi_events_settled_total{outcome="accepted"}`])
	require.Equal(t, len(l.poison), books[`capi_events_settled_total{outcome="dead_lettered"}`])
	require.Equal(t, n-len(l.good)-len(l.poison), books[`capi_events_settled_total{outcome="duplicate"}`])
	sum := r.Ledger().Sum()
	t.Logf("%d messages in %s: %d accepted, %d dead-lettered, %d requests, %.0f events a batch",
		n, took.Round(time.Millisecond), sum.Events, len(letters), sum.Requests, float64(sum.Events)/float64(sum.Batches))
}

func idOf(t *testing.T, raw []byte) string {
	t.Helper()
	var e struct {
		ID string `json:"event_id"`
	}
	require.NoError(t, json.Unmarshal(raw, &e))
	return e.ID
}

func (r *rig) letters() (letters []deadletter.Letter) {
	r.t.Helper()
	box, err := deadletter.Open(r.t.Context(), r.js, streams.Default().Letters())
	require.NoError(r.t, err)
	_, err = box.Each(r.t.Context(), deadletter.Filter{}, func(l deadletter.Letter) error {
		letters = append(letters, l)
		return nil
	})
	require.NoError(r.t, err)
	return letters
}

// The production binary carries no test kit and no server.
func TestTheBinaryHasNoTestKits(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../capi-dispatcher").Output()
	require.NoError(t, err)
	for dependency := range strings.FieldsSeq(string(out)) {
		require.NotRegexp(t, `nats-server|miniredis|testify|(graph|nats|dedupe)test$|/cmd/demo|^testing$`, dependency)
	}
}
