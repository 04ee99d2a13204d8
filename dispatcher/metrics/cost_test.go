package metrics_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
)

// BenchmarkCounting is what is counted for a batch of a hundred accepted events.
func BenchmarkCounting(b *testing.B) {
	meters, err := metrics.NewMeters(provider().Meter("test"))
	require.NoError(b, err)
	dataset := metrics.NewDatasets(10, []string{"100"}, nobody).Of("100")
	b.ReportAllocs()
	const events = 100
	for b.Loop() {
		meters.Received(dataset, events)
		meters.Settled(dataset, "accepted", "", events)
		for range events {
			meters.Took(context.Background(), time.Second, time.Minute)
		}
		tally := metrics.Tally{}
		meters.Timely(&tally)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
}
