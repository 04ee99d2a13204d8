package dispatcher_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// independent is a dataset with a token of its own, so an app of its own.
const independent = "3333333333"

func (b *harness) addIndependent() {
	b.t.Helper()
	b.AddDataset(independent, "a-token-of-its-own")
	b.writeToken(independent, "a-token-of-its-own", b.options.graph)
}

// usage is an answer's header that says how much of a limit is used up.
func usage(name string, percent int) graphtest.Fault {
	value := fmt.Sprintf(`{"call_count":%d}`, percent)
	if name == "X-Business-Use-Case-Usage" {
		value = `{"1":[` + value + `]}`
	}
	return graphtest.Fault{Header: map[string]string{name: value}}
}

// parkedUntil returns the time at which the first parked event of a dataset
// comes back by itself.
func (b *harness) parkedUntil(of string) time.Time {
	b.t.Helper()
	stream, err := b.js.Stream(b.t.Context(), "CAPI_PARKED")
	require.NoError(b.t, err)
	for sequence := uint64(1); sequence <= stream.CachedInfo().State.LastSeq; sequence++ {
		msg, err := stream.GetMsg(b.t.Context(), sequence)
		if err != nil || !strings.HasPrefix(msg.Subject, "capi.parked.wait."+of+".") {
			continue
		}
		at, err := time.Parse(time.RFC3339, strings.TrimPrefix(msg.Header.Get("Nats-Schedule"), "@at "))
		require.NoError(b.t, err)
		return at
	}
	b.t.Fatal("nothing is parked")
	return time.Time{}
}

// gauge reads the last value of a gauge of fractions.
func (b *harness) gauge(name string, with ...attribute.KeyValue) float64 {
	b.t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(b.t, b.metrics.Collect(b.t.Context(), &all))
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			data, ok := m.Data.(metricdata.Gauge[float64])
			if !ok || m.Name != name {
				continue
			}
			for _, point := range data.DataPoints {
				if contains(point.Attributes, with) {
					return point.Value
				}
			}
		}
	}
	b.t.Fatalf("there is no gauge %s with %v", name, with)
	return 0
}

func TestAnAppsThrottleSlowsItsOtherDatasets(t *testing.T) {
	t.Parallel()
	// Nothing comes back by its own time: one event is tried, the others follow.
	b := setup(t, func(o *options) { o.cfg.Delivery.Park = retry.Backoff{Initial: time.Second, Max: time.Hour} })
	b.addIndependent()
	b.Script(dataset, graphtest.Fault{Error: graphtest.Throttled(), Header: map[string]string{"Retry-After": "15"}})
	began := time.Now()
	b.publish(dataset, event("first"))
	b.awaitParked(1)
	b.publish(other, event("of the same app"))
	b.publish(independent, event("of another app"))
	b.awaitAccepted(1)
	b.awaitParked(2)
	require.Zero(t, b.Ledger().Totals(other).Requests, "the app's limit is not tried with another dataset")
	b.awaitAccepted(3)
	require.GreaterOrEqual(t, time.Since(began), 15*time.Second)
	b.awaitQuiet()
	b.requireNoneTwice()
	b.requireBalance()
}

func TestADatasetsThrottleSlowsNoOther(t *testing.T) {
	t.Parallel()
	b := setup(t, parkForAnHour)
	b.Always(dataset, graphtest.Fault{Error: &graphtest.Error{Code: 80004, Message: "too many calls"}})
	b.publish(dataset, event("a"))
	b.awaitParked(1)
	b.publish(other, event("b"))
	b.awaitAccepted(1)
	require.Equal(t, 1, b.Ledger().Totals(other).Requests)
}

// Near a limit, requests are spaced: there are fewer of them, and each is fuller.
func TestRequestsAreSpacedWhenALimitIsNear(t *testing.T) {
	t.Parallel()
	for header, limit := range map[string]string{"X-Business-Use-Case-Usage": "dataset", "X-App-Usage": "app"} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.Always(dataset, usage(header, 85)) // a second from one request to the next
			b.publish(dataset, event("first"))
			b.awaitAccepted(1)
			began := time.Now()
			ticker := time.NewTicker(10 * time.Millisecond)
			defer ticker.Stop()
			for i := range 400 {
				<-ticker.C
				b.publish(dataset, event(fmt.Sprint("e", i)))
			}
			b.awaitAccepted(401)
			requests, most := b.Ledger().Totals(dataset).Requests, int(time.Since(began)/time.Second)+3
			require.LessOrEqual(t, requests, most)
			b.awaitQuiet()
			b.requireNoneTwice()
			require.Zero(t, b.books("capi.events.settled", attribute.String("outcome", "parked")), "a second is not worth parking")
			require.InDelta(t, 85, b.gauge("capi.usage", attribute.String("limit", limit)), 0)
			b.Clear(dataset)
		})
	}
}

// At a limit, nothing is sent for at least a minute, or for as long as Meta says.
func TestNothingIsSentWhenALimitIsReached(t *testing.T) {
	t.Parallel()
	const regain = `{"1":[{"call_count":100,"estimated_time_to_regain_access":30}]}`
	for name, tc := range map[string]struct {
		fault  graphtest.Fault
		least  time.Duration
		shared bool // with the app's other datasets
	}{
		"the dataset's":       {usage("X-Business-Use-Case-Usage", 96), time.Minute, false},
		"the dataset's, long": {graphtest.Fault{Header: map[string]string{"X-Business-Use-Case-Usage": regain}}, 30 * time.Minute, false},
		"the app's":           {usage("X-App-Usage", 96), time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.addIndependent()
			b.Script(dataset, tc.fault)
			began := time.Now()
			b.publish(dataset, event("first"))
			b.await("the worker has read how much is used", func() bool { return b.settledAs("accepted") == 1 })
			b.publish(dataset, event("second"))
			b.awaitParked(1)
			require.WithinRange(t, b.parkedUntil(dataset), began.Add(tc.least), time.Now().Add(tc.least*9/8+2*time.Second))
			b.publish(other, event("of the same app"))
			b.publish(independent, event("of another app"))
			if tc.shared {
				b.awaitAccepted(2)
				b.awaitParked(2)
				require.Zero(t, b.Ledger().Totals(other).Requests)
				require.True(t, b.parkedUntil(other).After(began.Add(tc.least)))
				return
			}
			b.awaitAccepted(3)
			b.awaitParked(1)
		})
	}
}
