package parked_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
)

func TestOneIsTried(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		before  int // so many that are not meant
		gone    int // and so many that are gone when they are to be woken
		nothing bool
	}{
		"the first":                   {},
		"the first that is meant":     {before: 3},
		"pages later":                 {before: 25},
		"at the end of a page":        {before: 9},
		"another one if it is gone":   {gone: 2},
		"another, on another page":    {before: 5, gone: 9},
		"none, if there is none":      {nothing: true},
		"none, if none of them meant": {before: 30, nothing: true},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(s *shelf) {
				s.put("2", parked.Paused, time.Hour)
				s.putMany(tc.before, "1", parked.NotYet)
				for range tc.gone {
					s.wakeElsewhere(s.put("1", parked.Paused, time.Hour))
				}
				var want []uint64
				if !tc.nothing {
					want = append(want, s.put("1", parked.Paused, time.Hour))
					s.putMany(5, "1", parked.Paused)
				}
				require.NoError(s.t, s.waker.TryOne(s.t.Context(), whole("1")))
				s.requireWoken(want...)
				require.Equal(s.t, len(want), s.count("1"))
			})
		})
	}
}

func TestATrialFails(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		s.put("1", parked.Paused, time.Hour)
		s.refuse(errAway)
		require.ErrorIs(s.t, s.waker.TryOne(s.t.Context(), whole("1")), errAway)
		require.ErrorIs(s.t, s.waker.TryFew(s.t.Context(), whole("1"), 8), errAway)
		s.fail(errAway, errAway)
		require.ErrorIs(s.t, s.waker.TryOne(s.t.Context(), whole("1")), errAway)
		require.ErrorIs(s.t, s.waker.TryFew(s.t.Context(), whole("1"), 8), errAway)
		s.requireWoken()
	})
}

// A few are tried: the oldest, the newest, and some between them.
func TestAFewAreTried(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		s.putMany(701, "1", parked.Refused)
		require.NoError(s.t, s.waker.TryFew(s.t.Context(), whole("1"), 8))
		require.Equal(s.t, 8, s.count("1"))
		s.requireWoken(1, 101, 201, 301, 401, 501, 601, 701)
	})
}

func TestAFewAreTriedOfTheGroupOnly(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		s.putMany(50, "2", parked.Refused)
		s.putMany(5, "1", parked.Unlinked)
		s.putMany(3, "1", parked.Refused)
		s.putMany(50, "2", parked.Refused)
		require.NoError(s.t, s.waker.TryFew(s.t.Context(), whole("1"), 8))
		s.requireWoken(56, 57, 58)
		require.NoError(s.t, s.waker.TryFew(s.t.Context(), whole("3"), 8))
		require.Zero(s.t, s.count("3"), "there are none")
		require.NoError(s.t, s.waker.TryFew(s.t.Context(), whole("2"), 1))
		require.Equal(s.t, 1, s.count("2"))
	})
}

// Others' events take no place of theirs.
func TestAsManyAreTriedAsMayBe(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		for range 40 {
			s.put("1", parked.Unlinked, time.Hour)
			s.put("1", parked.Refused, time.Hour)
		}
		require.NoError(s.t, s.waker.TryFew(s.t.Context(), whole("1"), 8))
		require.Equal(s.t, 8, s.count("1"))
	})
}

// None is tried twice before all were; and then they are.
func TestWhatWasRefusedAloneComesLastInLine(t *testing.T) {
	inFakeTime(t, func(s *shelf) {
		s.put("1", parked.Refused, time.Hour, "Capi-Refused-Alone")
		s.put("1", parked.Refused, time.Hour)
		s.put("1", parked.Refused, time.Hour, "Capi-Refused-Alone")
		require.NoError(s.t, s.waker.TryFew(s.t.Context(), whole("1"), 8))
		s.requireWoken(2)
		require.NoError(s.t, s.waker.TryFew(s.t.Context(), whole("1"), 8))
		s.requireWoken(2, 1, 3)
	})
}

func TestSpread(t *testing.T) {
	t.Parallel()
	for n, want := range map[int][]int{
		0: nil, 1: {0}, 2: {1, 0}, 3: {2, 0, 1}, 8: {7, 0, 1, 2, 3, 4, 5, 6}, 9: {8, 0, 1, 2, 3, 4, 5, 6}, 1001: {1000, 0, 142, 285, 428, 571, 714, 857},
	} {
		require.Equal(t, want, parked.Spread(n, 8), n)
	}
	require.Equal(t, []int{4}, parked.Spread(5, 1))
}
