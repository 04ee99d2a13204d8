package test_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// run is what a real worker has reported, scraped again and again while some of
// everything happened to it.
type run struct {
	scrapes  []string
	accepted int       // events, as the simulated API has them
	ended    time.Time // at the last scrape
}

const (
	// scrapes is how often the worker is scraped.
	scrapes = 24
	// scrapeEvery is how far apart Prometheus would have made the scrapes. The run
	// is quicker.
	scrapeEvery = 30 * time.Second
)

// quick lets what takes minutes take seconds, and Meta be asked for datasets. Spans are
// for a collector that is not there.
const quick = `extraEnv:
  - {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: 'http://127.0.0.1:1'}
  - {name: OTEL_METRICS_EXPORTER, value: none}
config:
  delivery: {park: {initial: 1s, max: 2s}, retry: {budget: 1s}}
  graph: {resolve_datasets: true, fill_accounts: true}
  datasets: {"2": {}}
  assets: {pages: {"21": {dataset: "1"}}}
`

// theRun is the same for all tests.
var theRun = struct {
	sync.Mutex

	run *run
}{}

func observedRun(t *testing.T) *run {
	t.Helper()
	theRun.Lock()
	defer theRun.Unlock()
	if theRun.run == nil {
		theRun.run = observe(t)
	}
	require.NotNil(t, theRun.run, "the run has failed in another test")
	return theRun.run
}

func observe(t *testing.T) *run {
	t.Helper()
	w := startWorker(t, quick, "config: {attribution: {enabled: true}}\nsecrets: {peopleKeys: {name: people}}")
	w.await("/readyz", func(status int, _ string) bool { return status == http.StatusOK })
	var r run
	scrape := func() {
		_, text := w.get("/metrics")
		r.scrapes = append(r.scrapes, text)
	}
	scrape()
	w.makeTrouble()
	w.fillDeadLetters()
	for round := range scrapes - 2 {
		for i := range 3 {
			w.publish("1", event(fmt.Sprint("good", round, i), time.Now()))
		}
		if round == scrapes/2 {
			w.api.Clear("7")
		}
		time.Sleep(scrapes * time.Millisecond * 10)
		scrape()
	}
	last := w.await("/metrics", func(_ int, body string) bool {
		return !strings.Contains(body, `capi_dataset_paused{dataset="7"`) && containsAll(body, `outcome="accepted"`, `reason="expired"`, `reason="malformed"`, `verdict="paused"`, `verdict="throttled"`,
			`capi_dataset_paused{dataset="2",known="true",reason="paused"}`, `capi_dataset_paused{dataset="3",known="false",reason="throttled"}`,
			`dataset="5",known="false",reason="refused"`, `dataset="6",known="false",reason="unlinked"`, `dataset="8",known="false",reason="failing"`,
			"capi_events_maybe_sent_total{", "capi_events_recalled_total{", `capi_lookups_total{result="refused"} `, "capi_store_limit_bytes",
			"capi_backlog_oldest_seconds{", "capi_parked_time_to_expiry_seconds{", "capi_requests_bisected_total{", `capi_store_messages{store="dead_letters"} 18`, "capi_store_largest_share_ratio{", "capi_usage_percent{")
	})
	r.scrapes = append(r.scrapes, last)
	r.ended = time.Now()
	r.accepted = len(w.api.Ledger().Counts())
	w.stop()
	return &r
}

// makeTrouble publishes what each trouble is made of.
func (w *worker) makeTrouble() {
	w.t.Helper()
	for _, id := range []string{"1", "3", "4", "5", "6", "7", "8"} {
		w.api.AddDataset(id, token)
	}
	w.api.AddDataset("2", "another token")
	w.api.AddAsset(graphtest.Asset{ID: "11", Kind: graphtest.Page, Dataset: "1", Tokens: []string{token}, Listed: true})
	w.api.AddAsset(graphtest.Asset{ID: "12", Kind: graphtest.Page, Dataset: "1", Tokens: []string{token}, Listed: true})
	w.api.Always("1", graphtest.Fault{Header: map[string]string{"X-Business-Use-Case-Usage": `{"1":[{"call_count":20}]}`}})
	// A limit of the dataset's own: the app's would hold the others up, which have the same token.
	w.api.Always("3", graphtest.Fault{Error: &graphtest.Error{Code: 17, Type: "OAuthException", Message: "User request limit reached"}})
	w.api.Script("4", graphtest.Fault{Accept: true, Drop: true})
	w.api.Always("5", graphtest.Fault{Error: &graphtest.Error{Code: 424242, Message: "whatever it is"}})
	w.api.LinkAssets("6", "999") // and not the account of the event
	w.api.Always("7", graphtest.Fault{Error: graphtest.PermissionMissing()})
	w.api.Always("8", graphtest.Fault{Status: http.StatusServiceUnavailable})
	w.api.Always("12", graphtest.Fault{Error: graphtest.PermissionMissing()})

	for _, dataset := range []string{"2", "3", "4", "6", "7", "8"} {
		w.publish(dataset, event("of "+dataset, time.Now()))
	}
	w.publish("1", fmt.Sprintf(`{"event_name":"LeadSubmitted","event_id":"whose","event_time":%d,"action_source":"business_messaging",`+
		`"messaging_channel":"messenger","user_data":{},"_capi":{"user_id":"17"}}`, time.Now().Unix()))
	w.publish("1", event("old", time.Now().Add(-8*24*time.Hour)))
	w.publish("1", event("hours old", time.Now().Add(-3*time.Hour)))
	w.publish("1", "{")
	w.publish("1", `{"data":[`+event("neighbour", time.Now())+","+strings.Replace(event("bad", time.Now()), "ARAkLk", "invalid", 1)+"]}")
	w.publish("1", strings.Replace(event("quoted time and a browser", time.Now()), `"custom_data"`, `"event_source_url":"https://example.com","custom_data"`, 1))
	for i := range 20 {
		w.publish("5", event(fmt.Sprint("refused", i), time.Now()))
	}
	for _, page := range []string{"11", "12"} {
		w.publish("auto", ofPage("of page "+page, page))
	}
	w.publish("1", strings.Replace(ofPage("of no page", "21"), `"page_id":"21",`, "", 1))
	w.publish("4", ofPage("of another's page", "21"))
	w.publish("1", strings.Replace(event("with a token", time.Now()), "{", `{"access_token":"EAAB0123456789abcdefghijklmnopqrstuvwxyz",`, 1))
}

// ofPage is an event of a page's, whose time is in quotation marks.
func ofPage(id, page string) string {
	return fmt.Sprintf(`{"event_name":"LeadSubmitted","event_id":%q,"event_time":"%d","action_source":"business_messaging",
		"messaging_channel":"messenger","user_data":{"page_id":%q,"page_scoped_user_id":"1"}}`, id, time.Now().Unix(), page)
}

// fillDeadLetters makes their stream so small that it runs full.
func (w *worker) fillDeadLetters() {
	w.t.Helper()
	stream, err := w.js.Stream(w.t.Context(), "CAPI_DLQ")
	require.NoError(w.t, err)
	small := stream.CachedInfo().Config
	small.MaxBytes = 100_000
	_, err = w.js.UpdateStream(w.t.Context(), small)
	require.NoError(w.t, err)
	for range 7 {
		w.publish("1", "{"+strings.Repeat(" ", 10_000))
	}
}

// series are all that was reported.
func (r *run) series(t *testing.T) (all []labels.Labels) {
	t.Helper()
	read := parser.NewParser(parser.Options{})
	for series := range r.values() {
		parsed, err := read.ParseMetric(series)
		require.NoError(t, err, series)
		all = append(all, parsed)
	}
	return all
}

// values are the values of each series, a scrape each; _ is that there is none yet,
// and stale that there is none any more, which Prometheus notes.
func (r *run) values() map[string][]string {
	all := make(map[string][]string)
	for n, text := range r.scrapes {
		for line := range strings.Lines(text) {
			series, value, ok := cutLast(strings.TrimSpace(line), " ")
			if !ok || strings.HasPrefix(line, "#") {
				continue
			}
			all[series] = append(padded(all[series], n), value)
		}
	}
	for series, values := range all {
		all[series] = padded(values, len(r.scrapes))
	}
	return all
}

func padded(values []string, n int) []string {
	gap := "_"
	if len(values) > 0 {
		gap = "stale"
	}
	for len(values) < n {
		values = append(values, gap)
	}
	return values
}

// load is the run in the notation of Prometheus' tests.
func (r *run) load() string {
	values := r.values()
	var lines []string
	for _, series := range slices.Sorted(maps.Keys(values)) {
		lines = append(lines, series+" "+strings.Join(values[series], " "))
	}
	return fmt.Sprintf("load %s\n  %s", scrapeEvery, ofWorker(strings.Join(lines, "\n")))
}

func containsAll(text string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}

func cutLast(text, separator string) (before, after string, found bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(separator):], true
}
