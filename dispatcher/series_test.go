package dispatcher_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// of is the attribute by which the books are kept.
func of(dataset string) attribute.KeyValue { return attribute.String("dataset", dataset) }

func because(reason string) attribute.KeyValue { return attribute.String("reason", reason) }

// requireNoOverflow asserts that OpenTelemetry has put nothing aside.
func (b *harness) requireNoOverflow() {
	b.t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(b.t, b.metrics.Collect(b.t.Context(), &all))
	for _, m := range all.ScopeMetrics[0].Metrics {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64], metricdata.Gauge[int64]:
			for _, point := range points(b.t, data) {
				require.False(b.t, point.Attributes.HasValue("otel.metric.overflow"), m.Name)
			}
		}
	}
}

// requireBalanceOf asserts that the books balance for a label, with so many
// events received.
func (b *harness) requireBalanceOf(label string, received int) {
	b.t.Helper()
	require.EqualValues(b.t, received, b.books("capi.events.received", of(label)), label)
	require.EqualValues(b.t, received, b.books("capi.events.settled", of(label)), label)
	require.Zero(b.t, b.books("capi.events.in_flight", of(label)), label)
}

// Somebody publishes for thousands of datasets that nobody has. They share one
// label; whoever is real keeps books and alerts of their own.
func TestMadeUpDatasetsBlindNobody(t *testing.T) {
	t.Parallel()
	const madeUp = 2500 // OpenTelemetry's own limit is 2000
	b := setup(t, parkForAnHour, func(o *options) {
		o.cfg.Datasets = map[string]admission.Dataset{dataset: {}}
	})
	for i := range madeUp {
		_, err := b.js.PublishMsgAsync(&nats.Msg{Subject: fmt.Sprint("capi.events.", 90_000+i), Data: []byte(event("a"))})
		require.NoError(t, err)
	}
	<-b.js.PublishAsyncComplete()
	b.awaitParked(madeUp)

	b.publish(other, event("by which it becomes known"))
	b.await("it is known", func() bool { return b.settledAs("accepted") == 1 })
	b.publish(other, event("x"), event("y"))
	b.awaitAccepted(3)
	b.Always(dataset, graphtest.Fault{Error: graphtest.PermissionMissing()})
	b.publish(dataset, event("waits"))
	b.awaitParked(madeUp + 1)

	b.requireBalanceOf("other", madeUp+1)
	b.requireBalanceOf(other, 2)
	b.requireBalanceOf(dataset, 1)
	b.requireBalance()
	for outcome, n := range map[string]int{"accepted": 3, "parked": madeUp + 1} {
		require.EqualValues(t, n, b.books("capi.outcomes", attribute.String("outcome", outcome)))
	}
	require.EqualValues(t, 1, b.books("capi.requests", of(dataset), attribute.String("verdict", "paused")))
	require.EqualValues(t, madeUp+1, b.books("capi.datasets.troubled", because("paused")))
	require.EqualValues(t, 1, b.books("capi.dataset.paused", of(dataset), because("paused")), "the newest trouble, but a real dataset's")
	require.EqualValues(t, 100, b.books("capi.dataset.paused"))
	b.requireNoOverflow()
}

// A dataset with a token of its own has a label from its first event on.
func TestATokenOfItsOwnMakesADatasetKnown(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) { o.cfg.Datasets = nil })
	b.addIndependent()
	b.publish(independent, event("a"))
	b.publish(dataset, event("b"))
	b.awaitAccepted(2)
	b.awaitQuiet()
	b.requireBalanceOf(independent, 1)
	b.requireBalanceOf("other", 1)
}

// Who waits, and why, until it is over.
func TestDatasetsInTroubleAreNamed(t *testing.T) {
	t.Parallel()
	for reason, fault := range map[string]graphtest.Fault{
		"paused":    {Error: graphtest.PermissionMissing()},
		"throttled": {Error: &graphtest.Error{Code: 80004, Message: "too many calls"}},
		"failing":   {Status: 503},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.Always(dataset, fault)
			b.publish(dataset, event("a"))
			b.await("it is named", func() bool { return b.books("capi.dataset.paused", of(dataset), because(reason)) == 1 })
			b.publish(other, event("b"))
			b.awaitAccepted(1)
			require.EqualValues(t, 1, b.books("capi.dataset.paused"), "and nobody else")
			require.EqualValues(t, 1, b.books("capi.datasets.troubled", because(reason)))
			b.Clear(dataset)
			b.awaitAccepted(2)
			b.await("it is over", func() bool { return b.books("capi.dataset.paused") == 0 })
			require.Zero(t, b.books("capi.datasets.troubled"))
		})
	}
}

// Those that wait for their app are named, not the app.
func TestDatasetsOfAThrottledAppAreNamed(t *testing.T) {
	t.Parallel()
	b := setup(t, parkForAnHour)
	b.Always(dataset, graphtest.Fault{Error: graphtest.Throttled()})
	b.publish(dataset, event("a"))
	b.awaitParked(1)
	b.publish(other, event("b"))
	b.awaitParked(2)
	for _, id := range []string{dataset, other} {
		require.EqualValues(t, 1, b.books("capi.dataset.paused", of(id), because("throttled")), id)
	}
	require.EqualValues(t, 2, b.books("capi.datasets.troubled"))
}

func TestADatasetWithAnUnlinkedAccountIsNamed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.LinkAssets(dataset, "102")
	b.publish(dataset, body(event("a"), unlinked("b")))
	b.await("it is named", func() bool { return b.books("capi.dataset.paused", of(dataset), because("unlinked")) == 1 })
	b.LinkAssets(dataset, "102", "103")
	b.await("it is over", func() bool { return b.books("capi.datasets.troubled") == 0 })
}
