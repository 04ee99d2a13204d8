package parked_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
)

const (
	late    = time.Minute               // after which an event is overdue, with these waits
	longest = 15*time.Minute*9/8 + late // that an event is parked
	lasts   = 25 * time.Second          // a turn
	overdue = "parked events were overdue, as after a time when NATS' store was full; they are called back"
)

// turns are taken with somebody else who may have it.
type turns struct {
	theirs      bool
	begun, over int
	left        time.Duration
}

func (u *turns) take(ctx context.Context) (end func(), ours bool) {
	until, _ := ctx.Deadline()
	u.left = time.Until(until)
	if u.theirs {
		return nil, false
	}
	u.begun++
	return func() { u.over++ }, true
}

// sweeping runs a test in fake time with a sweeper, which is asked every second as
// it is in a worker: pass does.
func sweeping(t *testing.T, test func(s *shelf, u *turns, sweeper *parked.Sweeper)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, u := newShelf(t), &turns{}
		test(s, u, parked.NewSweeper(s.waker, subjects, u.take, lasts))
	})
}

func sweepFor(sweeper *parked.Sweeper, d time.Duration) {
	for until := time.Now().Add(d); time.Now().Before(until); time.Sleep(time.Second) {
		sweeper.Sweep(context.Background())
	}
}

func TestOverdueEventsAreWoken(t *testing.T) {
	sweeping(t, func(s *shelf, u *turns, sweeper *parked.Sweeper) {
		s.put("1", parked.Paused, 10*time.Minute)
		s.put("2", parked.NotYet, 10*time.Minute)
		s.put("1", parked.Paused, time.Hour) // which waits for a time of its own
		sweepFor(sweeper, longest)
		s.requireWoken()
		require.Zero(s.t, s.logged.Len())
		sweepFor(sweeper, 2*time.Second)
		require.ElementsMatch(s.t, []string{subjects.Wait("1", "1"), subjects.Wait("2", "2")}, s.woken)
		require.Equal(s.t, map[string]int{"1": 1, "2": 1}, s.counted)
		require.Zero(s.t, sweeper.Overdue())
		logged := s.logged.TakeAll()
		require.Len(s.t, logged, 1)
		require.Equal(s.t, overdue, logged[0].Message)
		require.Equal(s.t, map[string]any{"overdue": int64(2), "called_back": int64(2)}, logged[0].ContextMap())
		sweepFor(sweeper, time.Hour+late)
		require.Equal(s.t, map[string]int{"1": 2, "2": 1}, s.counted, "a minute after its own time")
		require.Equal(s.t, u.begun, u.over)
	})
}

// Where nothing is overdue, nobody looks before something may be.
func TestLooksAreRare(t *testing.T) {
	for name, tc := range map[string]struct {
		due   time.Duration // of the one event; 0: there is none
		old   time.Duration // since it was parked
		again time.Duration
	}{
		"no events":                      {0, 0, longest},
		"a young one":                    {time.Second, 3 * time.Minute, longest - 3*time.Minute},
		"an old one, at its time":        {time.Hour, 30 * time.Minute, longest},
		"an old one, soon overdue":       {30 * time.Minute, 29 * time.Minute, time.Minute + late},
		"an old one, that may come late": {30 * time.Minute, 30*time.Minute + 59*time.Second, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			sweeping(t, func(s *shelf, u *turns, sweeper *parked.Sweeper) {
				if tc.due > 0 {
					s.put("1", parked.Paused, tc.due)
				}
				time.Sleep(tc.old)
				sweeper.Sweep(s.t.Context())
				require.Equal(s.t, 1, u.begun)
				require.Equal(s.t, lasts, u.left)
				time.Sleep(tc.again - time.Millisecond)
				sweeper.Sweep(s.t.Context())
				require.Equal(s.t, 1, u.begun)
				time.Sleep(time.Millisecond)
				sweeper.Sweep(s.t.Context())
				require.Equal(s.t, 2, u.begun)
				require.Equal(s.t, 2, u.over)
			})
		})
	}
}

// Nothing after the first young event is looked at, page after page.
func TestALookEndsAtTheFirstYoungEvent(t *testing.T) {
	sweeping(t, func(s *shelf, _ *turns, sweeper *parked.Sweeper) {
		s.putMany(2*parked.Page, "1", parked.Paused) // for an hour
		s.put("1", parked.Paused, time.Minute)
		time.Sleep(longest)
		s.putMany(5*parked.Page, "1", parked.Paused)
		sweeper.Sweep(s.t.Context())
		require.EqualValues(s.t, 3, s.reads.Load())
		s.requireWoken(2*parked.Page + 1)
	})
}

func TestOneWorkerAtATimeLooks(t *testing.T) {
	sweeping(t, func(s *shelf, u *turns, sweeper *parked.Sweeper) {
		s.put("1", parked.Paused, time.Minute)
		time.Sleep(longest)
		u.theirs = true
		sweepFor(sweeper, late)
		require.Zero(s.t, s.reads.Load())
		u.theirs = false
		sweepFor(sweeper, 2*time.Second)
		s.requireWoken(1)
	})
}

// What is overdue and cannot be woken is told, and tried every minute.
func TestOverdueEventsThatCannotBeWoken(t *testing.T) {
	sweeping(t, func(s *shelf, _ *turns, sweeper *parked.Sweeper) {
		s.putMany(3, "1", parked.Paused)
		time.Sleep(time.Hour + late)
		s.refuse(errAway)
		sweeper.Sweep(s.t.Context())
		require.Equal(s.t, 3, sweeper.Overdue())
		require.Equal(s.t, map[string]any{"overdue": int64(3), "called_back": int64(0)}, s.logged.TakeAll()[0].ContextMap())
		s.refuse(nil)
		sweepFor(sweeper, late)
		require.Equal(s.t, 3, sweeper.Overdue())
		sweepFor(sweeper, time.Second)
		s.requireWoken(1, 2, 3)
		require.Zero(s.t, sweeper.Overdue())
	})
}

func TestParkedEventsThatCannotBeRead(t *testing.T) {
	sweeping(t, func(s *shelf, u *turns, sweeper *parked.Sweeper) {
		s.fail(errAway)
		sweeper.Sweep(s.t.Context())
		logged := s.logged.TakeAll()
		require.Len(s.t, logged, 1)
		require.Equal(s.t, "parked events could not be looked through for those that are overdue", logged[0].Message)
		require.Equal(s.t, 1, u.over)
		time.Sleep(late)
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
		defer cancel()
		s.slow = 2 * time.Second
		sweeper.Sweep(ctx)
		require.Equal(s.t, 2, u.over)
		require.Zero(s.t, s.logged.Len(), "it is to stop")
	})
}
