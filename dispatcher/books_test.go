package dispatcher_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// letters returns all dead letters.
func (b *harness) letters() []deadletter.Letter {
	b.t.Helper()
	var letters []deadletter.Letter
	for sequence := uint64(1); sequence <= b.lastSequence("CAPI_DLQ"); sequence++ {
		stream, err := b.js.Stream(b.t.Context(), "CAPI_DLQ")
		require.NoError(b.t, err)
		msg, err := stream.GetMsg(b.t.Context(), sequence)
		require.NoError(b.t, err)
		letter, err := deadletter.Parse(sequence, msg.Data, msg.Header)
		require.NoError(b.t, err)
		require.Equal(b.t, letter.Subject("capi.dead"), msg.Subject)
		letters = append(letters, letter)
	}
	return letters
}

func (b *harness) lastSequence(name string) uint64 {
	b.t.Helper()
	stream, err := b.js.Stream(b.t.Context(), name)
	require.NoError(b.t, err)
	return stream.CachedInfo().State.LastSeq
}

func (b *harness) awaitLetters(n int) []deadletter.Letter {
	b.t.Helper()
	b.await(fmt.Sprintf("%d events are dead-lettered", n), func() bool { return b.streamSize("CAPI_DLQ") >= uint64(n) })
	letters := b.letters()
	require.Len(b.t, letters, n)
	return letters
}

// sortByOrigin puts letters in the order in which their events were published:
// two lanes may bury theirs at the same time.
func sortByOrigin(letters []deadletter.Letter) {
	slices.SortFunc(letters, func(x, y deadletter.Letter) int { return cmp.Compare(x.OriginSequence, y.OriginSequence) })
}

// requireOnce asserts that exactly these events were accepted, once each.
func (b *harness) requireOnce(ids ...string) {
	b.t.Helper()
	want := make(map[graphtest.Event]int)
	for _, id := range ids {
		want[graphtest.Event{Dataset: dataset, Name: "LeadSubmitted", ID: id}] = 1
	}
	require.Equal(b.t, want, b.Ledger().Counts())
}

// books reads a counter or a gauge: the sum of all its points with these attributes.
func (b *harness) books(name string, with ...attribute.KeyValue) int64 {
	b.t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(b.t, b.metrics.Collect(b.t.Context(), &all))
	var sum int64
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != name {
				continue
			}
			for _, point := range points(b.t, m.Data) {
				if contains(point.Attributes, with) {
					sum += point.Value
				}
			}
		}
	}
	return sum
}

func points(tb testing.TB, data metricdata.Aggregation) []metricdata.DataPoint[int64] {
	tb.Helper()
	switch data := data.(type) {
	case metricdata.Sum[int64]:
		return data.DataPoints
	case metricdata.Gauge[int64]:
		return data.DataPoints
	default:
		tb.Fatalf("%T is neither a counter nor a gauge", data)
		return nil
	}
}

func contains(set attribute.Set, with []attribute.KeyValue) bool {
	for _, kv := range with {
		if value, ok := set.Value(kv.Key); !ok || value != kv.Value {
			return false
		}
	}
	return true
}

// requireBalance asserts that every event taken in flight has come to an end.
func (b *harness) requireBalance() {
	b.t.Helper()
	b.await("the books balance", func() bool {
		return b.books("capi.events.received") == b.books("capi.events.settled") && b.books("capi.events.in_flight") == 0
	})
}
