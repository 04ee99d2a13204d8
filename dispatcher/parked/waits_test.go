package parked_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
)

func waits(initial, longest time.Duration) parked.Waits {
	return parked.Waits{Backoff: retry.Backoff{Initial: initial, Max: longest}}
}

// An event waits for longer each time, whatever the settings are, up to the
// longest.
func TestEachTimeIsLonger(t *testing.T) {
	t.Parallel()
	w := waits(time.Minute, 15*time.Minute)
	for range 100 {
		for before, full := range []int{1, 2, 4, 8, 15, 15} {
			wait := w.Delay(before).Minutes()
			require.GreaterOrEqual(t, wait, float64(full)/2)
			require.LessOrEqual(t, wait, float64(full))
		}
		require.LessOrEqual(t, w.Delay(1_000_000), 15*time.Minute)
	}
}

// What is brought back too early, again and again, is parked for longer all the
// same: the first time for as short as may be, then for a second, two, four.
func TestWhatComesTooEarlyWaitsForLongerEachTime(t *testing.T) {
	t.Parallel()
	w := waits(time.Millisecond, time.Minute)
	require.LessOrEqual(t, w.Delay(0), time.Millisecond)
	for before, least := range map[int]float64{1: 1, 2: 2, 3: 4, 4: 8, 6: 32, 7: 60, 1000: 60} {
		require.GreaterOrEqual(t, w.Delay(before).Seconds(), least, before)
		require.InDelta(t, least, w.DelayFor(before, -time.Hour).Seconds(), 0, before)
	}
	require.Zero(t, w.DelayFor(0, -time.Hour), "its time is past")
}

// What waits for a time of its own waits until then, and for up to an eighth more,
// so that not all come at once.
func TestWhatWaitsForATime(t *testing.T) {
	t.Parallel()
	w := waits(time.Minute, 15*time.Minute)
	seen := make(map[time.Duration]bool)
	for range 1000 {
		wait := w.DelayFor(0, 8*time.Hour)
		require.GreaterOrEqual(t, wait, 8*time.Hour)
		require.LessOrEqual(t, wait, 9*time.Hour)
		seen[wait.Truncate(time.Minute)] = true
	}
	require.Greater(t, len(seen), 30)
	require.Equal(t, 4*time.Second, w.DelayFor(3, time.Nanosecond), "the fourth time")
}

func TestWakeTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now() // a whole second
		never := now.Add(time.Hour)
		for name, tc := range map[string]struct{ wait, expires, want time.Duration }{
			"at once":                {0, time.Hour, time.Second},
			"a moment":               {time.Millisecond, time.Hour, time.Second},
			"whole seconds":          {2 * time.Second, time.Hour, 3 * time.Second},
			"just before it expires": {59*time.Minute + 59*time.Second, time.Hour, time.Hour},
			"when it expires":        {2 * time.Hour, time.Hour, time.Hour + 2*time.Second},
			"it has expired":         {2 * time.Hour, -time.Hour, -time.Hour + 2*time.Second},
		} {
			require.Equal(t, now.Add(tc.want), parked.WakeTime(now, tc.wait, now.Add(tc.expires)), name)
		}
		time.Sleep(300 * time.Millisecond)
		require.Equal(t, now.Add(2*time.Second), parked.WakeTime(time.Now(), 900*time.Millisecond, never), "never too early")
	})
}
