package breaker_test

import (
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
)

// A nil permit is none.
func TestNoPermit(t *testing.T) {
	t.Parallel()
	var none *breaker.Permit
	require.False(t, none.Probes())
	none.Release()
}

// When its time is up, one batch finds out whether the trouble is over. The others
// ask again a second later.
func TestOneBatchProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(nil)
		until, _ := b.RecordFailure(failure("1"))
		sleepUntil(until)
		probe := acquired(t, b, "1")
		require.True(t, probe.Probes())
		require.Equal(t, time.Now().Add(time.Second), denied(t, b, "1"))
		require.Zero(t, b.TurnAway("1", probe), "it is the one that finds out")

		probe.Release()
		another := acquired(t, b, "1")
		require.True(t, another.Probes(), "nobody knows yet")
		require.Equal(t, []string{"1"}, b.RecordSuccess("1", "token", time.Now()))
		another.Release()
		require.False(t, acquired(t, b, "1").Probes())
	})
}

// A probe that fails opens the circuit again, and frees the place for the next.
func TestAProbeFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(nil)
		until, _ := b.RecordFailure(failure("1"))
		sleepUntil(until)
		acquired(t, b, "1")
		until, news := b.RecordFailure(failure("1"))
		require.True(t, news)
		require.Equal(t, until, denied(t, b, "1"))
		sleepUntil(until)
		require.True(t, acquired(t, b, "1").Probes(), "though the first was not released")
	})
}

// Whoever has a permit is turned away by what has happened since; not by what its
// own batch has to find out.
func TestTurnAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(nil)
		early := acquired(t, b, "1")
		until, _ := b.RecordFailure(failure("1"))
		require.Equal(t, until, b.TurnAway("1", early))
		require.Equal(t, until, b.TurnAway("1", nil))
		sleepUntil(until)
		require.Zero(t, b.TurnAway("1", early))

		probe := acquired(t, b, "1")
		b.Pause("1", "token", false, time.Minute)
		require.Zero(t, b.TurnAway("1", probe))
		b.Pause("1", "token", true, time.Hour)
		require.Equal(t, time.Now().Add(time.Hour), b.TurnAway("1", probe), "this is another circuit")
		require.Equal(t, []string{"1", "2"}, b.RecordSuccess("2", "token", time.Now()), "it was remembered")
	})
}

// A release after the trouble's end is in vain.
func TestReleaseAfterTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(nil)
		until, _ := b.RecordFailure(failure("1"))
		sleepUntil(until)
		probe := acquired(t, b, "1")
		b.RecordSuccess("1", "token", time.Now())
		probe.Release()
		require.Empty(t, b.Troubles())
	})
}

// Many may ask at once, and one of them probes.
func TestManyAskAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(nil)
		until, _ := b.RecordFailure(appWide("1"))
		sleepUntil(until)
		var all sync.WaitGroup
		permits := make(chan *breaker.Permit, 100)
		for i := range 100 {
			all.Go(func() {
				dataset := strconv.Itoa(i)
				b.TurnAway(dataset, nil)
				if permit, _ := b.Acquire(dataset, never); permit != nil {
					permits <- permit
				}
				b.Troubles()
				b.TakeProbes()
			})
		}
		all.Wait()
		require.Len(t, permits, 1)
		(<-permits).Release()
	})
}
