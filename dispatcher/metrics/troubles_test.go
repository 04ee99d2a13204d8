package metrics_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
)

// observed are the gauges' points: name{dataset,reason}, and the value.
func observed(t *testing.T, known func(string) bool, troubles ...breaker.Trouble) map[string]int64 {
	t.Helper()
	reader := metric.NewManualReader()
	err := metrics.ObserveTroubles(provider(reader).Meter("test"), func() []breaker.Trouble { return troubles }, known)
	require.NoError(t, err)
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	points := make(map[string]int64)
	for _, m := range all.ScopeMetrics[0].Metrics {
		for _, p := range m.Data.(metricdata.Gauge[int64]).DataPoints {
			dataset, _ := p.Attributes.Value("dataset")
			reason, _ := p.Attributes.Value("reason")
			points[strings.TrimPrefix(m.Name, "capi.")+"{"+dataset.AsString()+","+reason.AsString()+"}"] = p.Value
		}
	}
	return points
}

func TestTroublesAreNamedAndCounted(t *testing.T) {
	t.Parallel()
	now := time.Now()
	require.Equal(t, map[string]int64{
		"datasets.troubled{,paused}": 1, "datasets.troubled{,refused}": 0, "datasets.troubled{,throttled}": 2, "datasets.troubled{,failing}": 0, "datasets.troubled{,unlinked}": 1,
		"dataset.paused{1,paused}": 1, "dataset.paused{1,throttled}": 1, "dataset.paused{2,throttled}": 1, "dataset.paused{2,unlinked}": 1,
	}, observed(t, nobody,
		breaker.Trouble{Dataset: "1", Reason: breaker.Paused, Began: now},
		breaker.Trouble{Dataset: "1", Reason: breaker.Throttled, Began: now}, // its app
		breaker.Trouble{Dataset: "2", Reason: breaker.Throttled, Began: now},
		breaker.Trouble{Dataset: "2", Reason: breaker.Throttled, Began: now.Add(time.Hour)},
		breaker.Trouble{Dataset: "2", Reason: breaker.Unlinked, Began: now},
		breaker.Trouble{Dataset: "2", Reason: breaker.Unlinked, Began: now}, // another account
	))
}

func TestWithoutTroublesTheCountsAreThere(t *testing.T) {
	t.Parallel()
	require.Equal(t, map[string]int64{
		"datasets.troubled{,paused}": 0, "datasets.troubled{,refused}": 0, "datasets.troubled{,throttled}": 0, "datasets.troubled{,failing}": 0, "datasets.troubled{,unlinked}": 0,
	}, observed(t, nobody))
}

// Of thousands in trouble all are counted, and a hundred are named: known ones,
// however new their trouble, and then those that have waited for longest.
func TestMadeUpDatasetsHideNobodysTrouble(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	var troubles []breaker.Trouble
	for i := range 2500 {
		troubles = append(troubles, breaker.Trouble{Dataset: strconv.Itoa(90_000 + i), Reason: breaker.Paused, Began: begin.Add(time.Duration(i) * time.Second)})
	}
	for _, id := range []string{"1", "2"} {
		troubles = append(troubles, breaker.Trouble{Dataset: id, Reason: breaker.Paused, Began: begin.Add(time.Hour)})
	}
	points := observed(t, func(id string) bool { return len(id) == 1 }, troubles...)
	require.EqualValues(t, 2502, points["datasets.troubled{,paused}"])
	require.Len(t, points, len(breaker.Reasons())+metrics.MaxNamed)
	for _, named := range []string{"1", "2", "90000", "90097"} {
		require.Contains(t, points, "dataset.paused{"+named+",paused}")
	}
	require.NotContains(t, points, "dataset.paused{90098,paused}")
}
