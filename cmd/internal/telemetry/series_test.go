package telemetry_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/telemetry"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

const tenThousand = 10_000

// load is what a worker counts that serves ten thousand datasets.
type load struct {
	*telemetry.Telemetry

	meters   *metrics.Meters
	datasets *metrics.Datasets
}

// newLoad names so many of the datasets. All of them are in trouble.
func newLoad(tb testing.TB, named int) *load {
	tb.Helper()
	observed, err := telemetry.Setup(tb.Context(), "test", metrics.MaxSets(named))
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, observed.Shutdown(context.WithoutCancel(tb.Context()))) })
	meters, err := metrics.NewMeters(observed.Meter)
	require.NoError(tb, err)
	owns := func(string) bool { return false }
	l := &load{observed, meters, metrics.NewDatasets(named, nil, owns)}
	require.NoError(tb, metrics.ObserveTroubles(observed.Meter, troubles, l.datasets.Known))
	return l
}

func datasetID(i int) string { return strconv.Itoa(100_000 + i) }

func troubles() []breaker.Trouble {
	all := make([]breaker.Trouble, tenThousand)
	for i := range all {
		all[i] = breaker.Trouble{Dataset: datasetID(i), Reason: breaker.Throttled, Began: time.Unix(int64(i), 0)}
	}
	return all
}

// ends are what becomes of each dataset's events, one by one. The first comes
// before the dataset is known.
var ends = []struct{ outcome, reason string }{
	{"parked", "paused"}, {"accepted", ""}, {"accepted", ""}, {"duplicate", ""}, {"dead_lettered", "expired"}, {"dead_lettered", "refused"}, {"returned", ""},
}

// count counts everything that happens to the datasets' events.
func (l *load) count() {
	accepted := &graph.Answer{Verdict: graph.Accepted, Usage: graph.Usage{Percent: 1, App: 1}}
	paused := &graph.Answer{Verdict: graph.Paused}
	for i := range tenThousand {
		for n, end := range ends {
			dataset := l.datasets.Of(datasetID(i))
			l.meters.Received(dataset, 1)
			l.meters.Removed(dataset, []string{"/user_data/fbc"})
			l.meters.Settled(dataset, end.outcome, end.reason, 1)
			if n == 0 {
				l.meters.Posted(context.Background(), dataset, 1, paused)
				l.datasets.Accepted(datasetID(i))
			}
			l.meters.Took(context.Background(), time.Second, time.Minute)
		}
		dataset := l.datasets.Of(datasetID(i))
		l.meters.Posted(context.Background(), dataset, 1, accepted)
		l.meters.Usage(dataset, &accepted.Usage)
		l.meters.MaybeSent(dataset, 1)
		l.meters.CalledBack(dataset, 1)
	}
}

func (l *load) scrape(tb testing.TB) *httptest.ResponseRecorder {
	tb.Helper()
	answer := httptest.NewRecorder()
	l.Metrics.ServeHTTP(answer, httptest.NewRequestWithContext(tb.Context(), http.MethodGet, "/metrics", http.NoBody))
	require.Equal(tb, http.StatusOK, answer.Code)
	return answer
}

func (l *load) families(tb testing.TB) map[string]*dto.MetricFamily {
	tb.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(l.scrape(tb).Body)
	require.NoError(tb, err)
	return families
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// Whether all of ten thousand datasets have a label, some, or none: the books
// are exact, for each label and in all, and nothing is counted as nobody's.
func TestTenThousandDatasets(t *testing.T) {
	t.Parallel()
	for _, named := range []int{0, 1000, tenThousand} {
		t.Run(fmt.Sprint(named, " named"), func(t *testing.T) {
			t.Parallel()
			l := newLoad(t, named)
			l.count()
			families := l.families(t)
			for name, family := range families {
				require.False(t, slices.ContainsFunc(family.GetMetric(), func(m *dto.Metric) bool { return label(m, "otel_metric_overflow") != "" }), name)
			}
			requireExact(t, families, named)
			require.Len(t, families["capi_dataset_paused"].GetMetric(), metrics.MaxNamed)
			require.InDelta(t, tenThousand, sum(families["capi_datasets_troubled"], "reason")["throttled"], 0)
		})
	}
}

func requireExact(t *testing.T, families map[string]*dto.MetricFamily, named int) {
	t.Helper()
	received, settled := sum(families["capi_events_received_total"], "dataset"), sum(families["capi_events_settled_total"], "dataset")
	require.Equal(t, received, settled, "dataset by dataset")
	want := map[string]float64{metrics.Other: float64(tenThousand + (tenThousand-named)*(len(ends)-1))}
	for i := range named {
		want[datasetID(i)] = float64(len(ends) - 1) // from when it was known
	}
	require.Equal(t, want, received)
	for _, left := range sum(families["capi_events_in_flight"], "dataset") {
		require.Zero(t, left)
	}
	outcomes := map[string]float64{"parked": tenThousand, "accepted": 2 * tenThousand, "duplicate": tenThousand, "dead_lettered": 2 * tenThousand, "returned": tenThousand}
	require.Equal(t, outcomes, sum(families["capi_events_settled_total"], "outcome"))
	outcomes["dropped"], outcomes["skipped"] = 0, 0
	require.Equal(t, outcomes, sum(families["capi_outcomes_total"], "outcome"))
	require.Less(t, len(families["capi_outcomes_total"].GetMetric()), 30, "without datasets")
	require.Len(t, families["capi_event_latency_seconds"].GetMetric(), 1, "no histogram is by dataset")
}

// sum adds a family up by a label.
func sum(family *dto.MetricFamily, by string) map[string]float64 {
	sums := make(map[string]float64)
	for _, m := range family.GetMetric() {
		sums[label(m, by)] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return sums
}

// BenchmarkScrape is one scrape of a worker that serves ten thousand datasets,
// by how many of them are named, with the memory that their series hold.
func BenchmarkScrape(b *testing.B) {
	for _, named := range []int{1000, tenThousand} {
		b.Run(fmt.Sprint("metrics.datasets=", named), func(b *testing.B) {
			before := heap()
			l := newLoad(b, named)
			l.count()
			size := l.scrape(b).Body.Len()
			held := heap() - before
			b.ReportAllocs()
			for b.Loop() {
				l.scrape(b)
			}
			b.ReportMetric(float64(size)/1e6, "MB/scrape")
			b.ReportMetric(float64(held)/1e6, "MB-held")
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
