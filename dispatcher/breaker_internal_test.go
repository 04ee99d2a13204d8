package dispatcher

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// oneToken is that of every dataset.
type oneToken struct{}

func (oneToken) Fingerprint(string) string { return "token" }
func (oneToken) Owns(string) bool          { return false }

const knownDataset = "1"

// newTestBreaker knows one dataset; all others are made up.
func newTestBreaker() *breaker {
	return newBreaker(retry.Backoff{Initial: time.Hour, Max: time.Hour}, oneToken{}, func(id string) bool { return id == knownDataset })
}

// toldOfKnown is the trouble of the dataset that is known, as it is told.
func (b *breaker) toldOfKnown() (found metrics.Trouble) {
	for _, t := range b.troubles(time.Now()) {
		if t.Dataset == knownDataset {
			found = t
		}
	}
	return found
}

// However many datasets are made up: what is remembered is bounded, and those
// that are known are among it.
func TestMadeUpDatasetsCrowdNoKnownOneOut(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]*graph.Answer{
		"in trouble itself": {Verdict: graph.Paused},
		"its app is":        {Verdict: graph.Throttled, Error: &graph.Error{Code: 4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTestBreaker()
			for i := range maxTroubles {
				b.failed(strconv.Itoa(900_000+i), "token", failure)
			}
			b.failed(knownDataset, "token", failure)
			for i := range 5 * maxTroubles {
				b.failed(strconv.Itoa(800_000+i), "token", failure)
			}
			require.Equal(t, reasonOf(failure.Verdict), b.toldOfKnown().Reason)
			require.LessOrEqual(t, len(b.troubles(time.Now())), maxTroubles+1)
		})
	}
}

// Accounts that somebody makes up for a dataset of his crowd out no other's.
func TestMadeUpAccountsCrowdNoOtherDatasetOut(t *testing.T) {
	t.Parallel()
	a := newAccounts(retry.Backoff{Initial: time.Hour, Max: time.Hour})
	of := func(dataset, page string) *entry {
		return &entry{lane: lane{dataset: dataset}, event: event.Event{Assets: event.Assets{Page: page}}}
	}
	a.failed(of("2", "made up"), &graph.Answer{})
	a.failed(of(knownDataset, "11"), &graph.Answer{})
	for i := range 5 * maxTroubles {
		a.failed(of("2", strconv.Itoa(i)), &graph.Answer{})
	}
	require.False(t, a.until(of(knownDataset, "11")).IsZero())
	require.Len(t, a.troubles(time.Now()), maxTroubles)
}

// A trouble is told of until somebody gets through; or, should another worker
// have seen the end of it, until nobody has waited for a while.
func TestHowLongATroubleIsToldOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, began := newTestBreaker(), time.Now()
		until, _ := b.failed(knownDataset, "token", &graph.Answer{Verdict: graph.Paused})
		require.Equal(t, metrics.Trouble{Dataset: knownDataset, Reason: metrics.Paused, Began: began}, b.toldOfKnown())

		time.Sleep(time.Until(until) + troubleLingers - 1)
		until, _ = b.failed(knownDataset, "token", &graph.Answer{Verdict: graph.Retry})
		require.Equal(t, metrics.Trouble{Dataset: knownDataset, Reason: metrics.Failing, Began: began}, b.toldOfKnown(), "it is the same trouble")

		time.Sleep(time.Until(until) + troubleLingers)
		require.Zero(t, b.toldOfKnown())
		b.failed(knownDataset, "token", &graph.Answer{Verdict: graph.Retry})
		require.Equal(t, time.Now(), b.toldOfKnown().Began, "a new one")

		time.Sleep(time.Minute)
		b.succeeded(knownDataset, "token", time.Now())
		require.Zero(t, b.toldOfKnown())
	})
}

// Those that failed while Meta was away are tried when it is back; those that it
// has refused wait for their time.
func TestMetaIsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker()
		b.failed("3", "token", &graph.Answer{Verdict: graph.Retry})
		time.Sleep(10 * time.Minute)
		lost := time.Now()
		b.failed("1", "token", &graph.Answer{Verdict: graph.Retry})
		b.failed("2", "token", &graph.Answer{Verdict: graph.Paused})
		b.reachable(lost)
		soon := time.Now().Add(time.Second)
		require.True(t, b.states["1"].until.Before(soon))
		require.True(t, b.states["2"].until.After(soon), "Meta does not want it")
		require.True(t, b.states["3"].until.After(soon), "that was another trouble")
		time.Sleep(time.Second)
		try, _ := b.trials()
		require.Equal(t, []string{"1"}, try)
	})
}
