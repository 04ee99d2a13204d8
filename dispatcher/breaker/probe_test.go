package breaker_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
)

// probes are the datasets to be tried now; none may be freed.
func probes(t *testing.T, b *breaker.Breaker) []string {
	t.Helper()
	try, freed := b.TakeProbes()
	require.Empty(t, freed)
	slices.Sort(try)
	return try
}

// A dataset is tried when its time is up; and again, after longer each time, until
// something is heard of it.
func TestADatasetIsTriedWhenItsTimeIsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(nil)
		until, _ := b.RecordFailure(failure("1"))
		sleepUntil(until.Add(-1))
		require.Empty(t, probes(t, b))
		sleepUntil(until)
		for _, seconds := range []int{5, 10, 20, 40, 80, 160, 320, 480, 480, 480, 480, 480, 480} {
			require.Equal(t, []string{"1"}, probes(t, b))
			require.Empty(t, probes(t, b), "it has been taken")
			time.Sleep(time.Duration(seconds)*time.Second - time.Nanosecond)
			require.Empty(t, probes(t, b))
			time.Sleep(time.Nanosecond)
		}
	})
}

// While a batch finds out, nobody else has to; and after a failure the calls begin
// anew.
func TestProbesThatHaveCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(nil)
		until, _ := b.RecordFailure(failure("1"))
		sleepUntil(until)
		for wait := 5 * time.Second; wait < 10*time.Minute; wait *= 2 {
			require.Equal(t, []string{"1"}, probes(t, b))
			time.Sleep(min(wait, 8*time.Minute))
		}
		require.Equal(t, []string{"1"}, probes(t, b)) // the next would be in eight minutes
		permit := acquired(t, b, "1")
		require.Empty(t, probes(t, b))
		until, _ = b.RecordFailure(failure("1"))
		permit.Release()
		require.Empty(t, probes(t, b))
		sleepUntil(until)
		require.Equal(t, []string{"1"}, probes(t, b))
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"1"}, probes(t, b), "as after the first failure")
	})
}

// A new token is tried at once, and once.
func TestANewTokenIsTried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		of := tokens{}
		b := newBreaker(of)
		until, _ := b.RecordFailure(failure("1"))
		sleepUntil(until)
		for range 7 { // in vain: the next is called for in minutes
			probes(t, b)
			time.Sleep(3 * time.Minute)
		}
		of["1"] = "replaced"
		require.Equal(t, []string{"1"}, probes(t, b))
		require.Empty(t, probes(t, b))
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"1"}, probes(t, b), "as after a failure")

		b.RecordFailure(breaker.Failure{Dataset: "1", Token: "replaced"})
		require.Empty(t, probes(t, b))
		of["1"] = "replaced again"
		require.Equal(t, []string{"1"}, probes(t, b), "though its time is not up")
		require.True(t, acquired(t, b, "1").Probes())
	})
}

// One dataset is tried for an app, and those that are of another app by now need not
// wait for it.
func TestWhoWaitsForAnApp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		of := tokens{}
		b := newBreaker(of)
		until, _ := b.RecordFailure(appWide("1"))
		for _, dataset := range []string{"2", "3", "4"} {
			denied(t, b, dataset)
		}
		of["3"] = "another"
		try, freed := b.TakeProbes()
		require.Empty(t, try, "a new token is no news of the app")
		require.Equal(t, []string{"3"}, freed)
		sleepUntil(until)
		try = probes(t, b)
		require.Len(t, try, 1)
		require.Subset(t, []string{"1", "2", "4"}, try)
		require.Equal(t, []string{"1", "2", "4"}, b.RecordSuccess("1", "token", time.Now()), "3 was freed before")
		require.Empty(t, probes(t, b))
	})
}

// Those that failed while Meta was away are tried when it is back, one after the
// other; those that it has refused wait for their time.
func TestMetaIsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(nil)
		old := failure("3")
		old.Wait = time.Hour
		b.RecordFailure(old)
		time.Sleep(10 * time.Minute)
		b.RecordFailure(failure("4")) // before anybody noticed
		time.Sleep(29 * time.Second)
		lost := time.Now()
		b.RecordFailure(failure("1"))
		paused := failure("2")
		paused.Reason = breaker.Paused
		later, _ := b.RecordFailure(paused)

		b.EndOutage(lost)
		require.True(t, denied(t, b, "1").Before(lost.Add(time.Second)))
		require.True(t, denied(t, b, "4").Before(lost.Add(time.Second)))
		require.NotEqual(t, denied(t, b, "1"), denied(t, b, "4"), "a moment after the other")
		require.Equal(t, later, denied(t, b, "2"), "Meta does not want it")
		require.True(t, denied(t, b, "3").After(lost.Add(time.Minute)), "that was another trouble")
		time.Sleep(time.Second)
		require.Equal(t, []string{"1", "4"}, probes(t, b))
	})
}

// However many have failed, all are tried within ten seconds.
func TestAllAreTriedSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(nil)
		fill(breaker.MaxKept, func(dataset string) { b.RecordFailure(failure(dataset)) })
		b.EndOutage(time.Now())
		tried := make(map[string]bool)
		for range 20 {
			time.Sleep(time.Second / 2)
			before := len(tried)
			for _, dataset := range probes(t, b) {
				tried[dataset] = true
			}
			require.InDelta(t, breaker.MaxKept/20, len(tried)-before, 1)
		}
		require.Len(t, tried, breaker.MaxKept)
	})
}

// A circuit whose time is up already is not open again for that.
func TestWhoseTimeIsUpIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, lost := newBreaker(nil), time.Now()
		until, _ := b.RecordFailure(failure("1"))
		sleepUntil(until.Add(1))
		b.EndOutage(lost)
		require.True(t, acquired(t, b, "1").Probes())
	})
}

// meanwhile is what happens while a token is read.
type meanwhile struct{ does func() }

func (m *meanwhile) Fingerprint(string) string {
	m.does()
	return "another"
}

// Who recovers while tokens are read is not tried, and not freed: it comes back by
// that.
func TestARecoveryMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tokens := &meanwhile{}
		b := breaker.New(pauses, tokens, func(string) bool { return true })
		until, _ := b.RecordFailure(appWide("1"))
		b.RecordFailure(failure("2"))
		sleepUntil(until.Add(time.Hour))
		var recovered []string
		tokens.does = func() { recovered = append(recovered, b.RecordSuccess("2", "token", time.Now())...) }
		require.Empty(t, probes(t, b))
		require.Equal(t, []string{"1", "2"}, recovered)
	})
}
