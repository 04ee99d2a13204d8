package metrics_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// What an answer says of Meta's limits holds for an hour, for they are of the last.
func TestUsageIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reader := metric.NewManualReader()
		meters, err := metrics.NewMeters(provider(reader).Meter("test"))
		require.NoError(t, err)
		datasets := metrics.NewDatasets(1, []string{"100"}, nobody)
		meters.Usage(datasets.Of("100"), &graph.Usage{Percent: 95})
		meters.Usage(datasets.Of("another"), &graph.Usage{Percent: 95})
		require.Equal(t, []float64{95}, gauge(t, reader, "capi.usage"))
		time.Sleep(time.Hour)
		require.Equal(t, []float64{95}, gauge(t, reader, "capi.usage"))
		time.Sleep(time.Second)
		require.Empty(t, gauge(t, reader, "capi.usage"))
	})
}

// gauge returns the values of a gauge's points.
func gauge(t *testing.T, reader *metric.ManualReader, name string) (values []float64) {
	t.Helper()
	for _, m := range collect(t, reader) {
		if m.Name != name {
			continue
		}
		for _, p := range m.Data.(metricdata.Gauge[float64]).DataPoints {
			values = append(values, p.Value)
		}
	}
	return values
}

func collect(t *testing.T, reader *metric.ManualReader) []metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	return all.ScopeMetrics[0].Metrics
}

// Of a hundred and one tokens the newest has no gauge.
func TestTheOldestTokensAreNamed(t *testing.T) {
	t.Parallel()
	reader, changed := metric.NewManualReader(), make(map[string]time.Time)
	for i := range metrics.MaxNamed + 1 {
		changed[string(rune('a'+i))] = time.Now().Add(-time.Duration(i) * time.Hour)
	}
	require.NoError(t, metrics.ObserveTokens(provider(reader).Meter("test"), func() map[string]time.Time { return changed }))
	ages := gauge(t, reader, "capi.token.age")
	require.Len(t, ages, metrics.MaxNamed)
	for _, age := range ages {
		require.GreaterOrEqual(t, age, time.Hour.Seconds())
	}
}

// What is counted of a closed list is there before it happens: else the first time
// would be the series' first value, and no rise.
func TestWhatIsClosedBeginsAtZero(t *testing.T) {
	t.Parallel()
	reader := metric.NewManualReader()
	_, err := metrics.NewMeters(provider(reader).Meter("test"))
	require.NoError(t, err)
	series := make(map[string]int)
	for _, m := range collect(t, reader) {
		for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
			require.Zero(t, p.Value)
			series[m.Name]++
		}
	}
	require.Equal(t, map[string]int{
		"capi.outcomes": 26, "capi.events.timely": 3, "capi.events.lost": 3, "capi.lookups": 5, "capi.maybe_sent": 1,
	}, series)
}
