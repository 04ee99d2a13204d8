package telemetry_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/telemetry"
)

// Each scrape holds a copy of all series, so there are few at a time.
func TestFewScrapesAtATime(t *testing.T) {
	t.Parallel()
	observed, err := telemetry.Setup(t.Context(), "test", 2000)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, observed.Shutdown(context.WithoutCancel(t.Context()))) })
	entered, leave := make(chan struct{}, 1), make(chan struct{})
	_, err = observed.Meter.Int64ObservableGauge("slow", metric.WithInt64Callback(func(context.Context, metric.Int64Observer) error {
		select {
		case entered <- struct{}{}:
		default:
		}
		<-leave
		return nil
	}))
	require.NoError(t, err)
	scrape := func() int {
		answer := httptest.NewRecorder()
		observed.Metrics.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
		return answer.Code
	}

	const many = 10
	codes := make(chan int, many)
	var scrapes sync.WaitGroup
	for range many {
		scrapes.Go(func() { codes <- scrape() })
	}
	<-entered
	for range many - 4 {
		require.Equal(t, http.StatusServiceUnavailable, <-codes, "one too many")
	}
	close(leave)
	scrapes.Wait()
	for range 4 {
		require.Equal(t, http.StatusOK, <-codes)
	}
}
