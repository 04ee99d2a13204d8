package metrics_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/claims"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/customer"
)

func nobody(string) bool { return false }

func TestWhoHasALabel(t *testing.T) {
	t.Parallel()
	owner := func(id string) bool { return id == "300" || id == "301" }
	for name, tc := range map[string]struct {
		most       int
		configured []string
		accepted   []string
		want       map[string]string
	}{
		"nobody knows it":              {10, nil, nil, map[string]string{"900": metrics.Other, "": metrics.Other}},
		"configured":                   {10, []string{"100"}, nil, map[string]string{"100": "100", "900": metrics.Other}},
		"owns a token":                 {10, nil, nil, map[string]string{"300": "300"}},
		"an event was accepted":        {10, nil, []string{"200"}, map[string]string{"200": "200", "900": metrics.Other}},
		"configured ones come first":   {1, []string{"100"}, []string{"200"}, map[string]string{"100": "100", "200": metrics.Other, "300": metrics.Other}},
		"too many are configured":      {1, []string{"102", "101"}, nil, map[string]string{"101": "101", "102": metrics.Other}},
		"configured twice counts once": {2, []string{"100", "100"}, []string{"200"}, map[string]string{"100": "100", "200": "200"}},
		"no labels at all":             {0, []string{"100"}, []string{"200"}, map[string]string{"100": metrics.Other, "200": metrics.Other, "300": metrics.Other}},
		"the first to come":            {1, nil, []string{"201", "200"}, map[string]string{"201": "201", "200": metrics.Other}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			datasets := metrics.NewDatasets(tc.most, tc.configured, owner)
			for _, id := range tc.accepted {
				datasets.Accepted(id)
			}
			for id, want := range tc.want {
				first, again := datasets.Of(id), datasets.Of(id)
				require.Equal(t, want, first.Label(), id)
				require.Same(t, first, again, "one for each label")
			}
		})
	}
}

// A dataset is known whether or not there was a label left for it.
func TestKnownWithoutALabel(t *testing.T) {
	t.Parallel()
	datasets := metrics.NewDatasets(1, []string{"100", "101"}, func(id string) bool { return id == "300" })
	datasets.Accepted("200")
	for _, id := range []string{"100", "101", "200", "300"} {
		require.True(t, datasets.Known(id), id)
	}
	require.False(t, datasets.Known("900"))
	require.False(t, datasets.Known(""))
}

// Made-up datasets take nothing away from those that come after them.
func TestMadeUpDatasetsTakeNoLabel(t *testing.T) {
	t.Parallel()
	datasets := metrics.NewDatasets(1, nil, nobody)
	for i := range 2000 {
		require.Equal(t, metrics.Other, datasets.Of(strconv.Itoa(i)).Label())
	}
	datasets.Accepted("777777")
	require.Equal(t, "777777", datasets.Of("777777").Label())
}

func TestLabelsAreGivenOutConcurrently(t *testing.T) {
	t.Parallel()
	const most = 50
	datasets := metrics.NewDatasets(most, nil, nobody)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for i := range 2 * most {
				datasets.Of(strconv.Itoa(i))
				datasets.Accepted(strconv.Itoa(i))
			}
		})
	}
	workers.Wait()
	labels := make(map[string]bool)
	for i := range 2 * most {
		labels[datasets.Of(strconv.Itoa(i)).Label()] = true
	}
	require.Len(t, labels, most+1, "and other")
}

// settle is all that is counted for one event on its way to an outcome.
func settle(datasets *metrics.Datasets, meters *metrics.Meters, id, outcome, reason string) {
	dataset := datasets.Of(id)
	meters.Received(dataset, 1)
	meters.Settled(dataset, outcome, reason, 1)
	meters.Took(context.Background(), time.Second, time.Minute)
}

func TestCountingAnEventAllocatesNothing(t *testing.T) {
	meters, err := metrics.NewMeters(provider().Meter("test"))
	require.NoError(t, err)
	datasets := metrics.NewDatasets(10, []string{"100"}, nobody)
	for _, id := range []string{"100", "900"} {
		count := func() { settle(datasets, meters, id, "accepted", "") }
		require.Zero(t, testing.AllocsPerRun(100, count), id)
	}
}

func provider(readers ...metric.Reader) *metric.MeterProvider {
	options := []metric.Option{metric.WithReader(metric.NewManualReader())}
	for _, reader := range readers {
		options = append(options, metric.WithReader(reader))
	}
	return metric.NewMeterProvider(options...)
}

// Every attribute but dataset has its values from a closed list, and no
// instrument has more sets of attributes than OpenTelemetry was told.
func TestNoInstrumentHasMoreSetsThanItsLimit(t *testing.T) {
	t.Parallel()
	const most = 3
	reader := metric.NewManualReader()
	meters, err := metrics.NewMeters(provider(reader).Meter("test"))
	require.NoError(t, err)
	datasets := metrics.NewDatasets(most, []string{"100", "101", "102"}, nobody)
	for _, id := range []string{"100", "101", "102", "103"} {
		countEverything(meters, datasets.Of(id))
	}
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	for _, m := range all.ScopeMetrics[0].Metrics {
		sets := attributes(t, m.Data)
		require.NotEmpty(t, sets, m.Name)
		require.LessOrEqual(t, len(sets), metrics.MaxSets(most), m.Name)
		for _, set := range sets {
			_, named := set.Value("dataset")
			_, histogram := m.Data.(metricdata.Histogram[float64])
			require.False(t, named && histogram, "%s is a histogram by dataset", m.Name)
		}
	}
}

// countEverything counts whatever can happen, for one dataset.
func countEverything(meters *metrics.Meters, dataset *metrics.Dataset) {
	meters.Received(dataset, 1)
	meters.Removed(dataset, []string{"/event_source_url", "/user_data/client_ip_address", "/user_data/client_user_agent", "/user_data/fbc", "/user_data/fbp"})
	for _, field := range customer.Fields() {
		meters.Removed(dataset, []string{"/user_data/" + string(field), "/user_data/" + string(field) + "/*"})
	}
	meters.Repaired(dataset, event.Repairs())
	for _, code := range event.WarningCodes() {
		meters.Warned(dataset, code)
	}
	meters.Withheld(dataset, 1, 1)
	for _, outcome := range []string{"accepted", "duplicate", "dead_lettered", "returned", "dropped"} {
		for _, reason := range append(deadletter.Reasons(), "") {
			meters.Settled(dataset, outcome, string(reason), 1)
		}
	}
	for _, reason := range append(parked.Reasons(), metrics.Undelivered) {
		meters.Settled(dataset, "parked", string(reason), 1)
	}
	for _, verdict := range graph.Verdicts() {
		meters.Posted(context.Background(), dataset, event.MaxEvents, &graph.Answer{Verdict: verdict, Sent: 1})
	}
	meters.MaybeSent(dataset, 1)
	for _, action := range []string{"warn", "refuse", "reroute"} {
		meters.ForeignAccount(dataset, action)
	}
	meters.Filled(dataset, "/user_data/page_id")
	meters.CalledBack(dataset, 1)
	meters.Took(context.Background(), time.Second, time.Minute)
	meters.Bisected(dataset)
	for _, operation := range claims.Operations() {
		meters.ClaimTook(operation, time.Millisecond, true)
	}
	meters.Usage(dataset, &graph.Usage{Percent: 1, App: 1})
}

func attributes(t *testing.T, data metricdata.Aggregation) (sets []attribute.Set) {
	t.Helper()
	switch data := data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Gauge[int64]:
		for _, p := range data.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Histogram[int64]:
		for _, p := range data.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			sets = append(sets, p.Attributes)
		}
	default:
		require.Fail(t, "no such kind", "%T", data)
	}
	return sets
}
