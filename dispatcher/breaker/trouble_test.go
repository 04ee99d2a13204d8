package breaker_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
)

// fill makes datasets up.
func fill(count int, each func(dataset string)) {
	for i := range count {
		each(strconv.Itoa(900_000 + i))
	}
}

// toldOf is the trouble of a dataset, as it is told; it has one at the most.
func toldOf(t *testing.T, b *breaker.Breaker, dataset string) (found breaker.Trouble) {
	t.Helper()
	for _, trouble := range b.Troubles() {
		if trouble.Dataset == dataset {
			require.Zero(t, found)
			found = trouble
		}
	}
	return found
}

// However many datasets are made up: what is remembered is bounded, and those that
// are known are among it.
func TestMadeUpDatasetsCrowdNoKnownOneOut(t *testing.T) {
	t.Parallel()
	for name, failed := range map[string]func(string) breaker.Failure{"in trouble itself": failure, "its app is": appWide} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBreaker(nil)
				fill(breaker.MaxKept, func(dataset string) { b.RecordFailure(failed(dataset)) })
				b.RecordFailure(failed(known))
				for i := range 5 * breaker.MaxKept {
					b.RecordFailure(failed(strconv.Itoa(100_000 + i)))
				}
				require.Equal(t, failed(known).Reason, toldOf(t, b, known).Reason)
				require.GreaterOrEqual(t, len(b.Troubles()), breaker.MaxKept)
				require.LessOrEqual(t, len(b.Troubles()), breaker.MaxKept+1)
			})
		})
	}
}

// An app is not forgotten for datasets that are made up; and where all are known,
// one of them is forgotten.
func TestWhoIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(nil)
		until, _ := b.RecordFailure(appWide(known))
		fill(5*breaker.MaxKept, func(dataset string) { b.RecordFailure(failure(dataset)) })
		require.Equal(t, until, denied(t, b, known))

		b = breaker.New(pauses, tokens{}, func(string) bool { return true })
		fill(breaker.MaxKept+9, func(dataset string) { b.RecordFailure(failure(dataset)) })
		require.Len(t, b.Troubles(), breaker.MaxKept)
	})
}

// A trouble is told of until somebody gets through; or, should another worker have
// seen the end of it, until nobody has waited for a while.
func TestHowLongATroubleIsToldOf(t *testing.T) {
	const lingers = 3 * time.Minute
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, began := newBreaker(nil), time.Now()
		paused := failure(known)
		paused.Reason = breaker.Paused
		until, _ := b.RecordFailure(paused)
		require.Equal(t, []breaker.Trouble{{Dataset: known, Reason: breaker.Paused, Began: began}}, b.Troubles())

		sleepUntil(until.Add(lingers - 1))
		until, _ = b.RecordFailure(failure(known))
		require.Equal(t, breaker.Trouble{Dataset: known, Reason: breaker.Failing, Began: began}, toldOf(t, b, known), "it is the same trouble")

		sleepUntil(until.Add(lingers - 1))
		require.NotEmpty(t, b.Troubles())
		time.Sleep(time.Nanosecond)
		require.Empty(t, b.Troubles())
		b.RecordFailure(failure(known))
		require.Equal(t, time.Now(), toldOf(t, b, known).Began, "a new one")

		time.Sleep(time.Minute)
		b.RecordSuccess(known, "token", time.Now())
		require.Empty(t, b.Troubles())
	})
}

// As long as a batch finds out, there is trouble.
func TestAProbeIsATrouble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(nil)
		until, _ := b.RecordFailure(failure("1"))
		sleepUntil(until)
		permit := acquired(t, b, "1")
		time.Sleep(time.Hour)
		require.Len(t, b.Troubles(), 1)
		permit.Release()
		require.Empty(t, b.Troubles())
	})
}

// An app's trouble is told of each dataset that waits for it, beside its own.
func TestTroublesOfAnAppsDatasets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, began := newBreaker(nil), time.Now()
		b.RecordFailure(failure("1"))
		b.RecordFailure(appWide("1"))
		denied(t, b, "2")
		require.ElementsMatch(t, []breaker.Trouble{
			{Dataset: "1", Reason: breaker.Failing, Began: began},
			{Dataset: "1", Reason: breaker.Throttled, Began: began},
			{Dataset: "2", Reason: breaker.Throttled, Began: began},
		}, b.Troubles())
	})
}

func TestReasons(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, []breaker.Reason{"paused", "throttled", "failing", "refused", "unlinked"}, breaker.Reasons())
}
