package retry_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every delay is between half of the doubled wait and all of it, and never above
// the longest.
func TestDelaysDouble(t *testing.T) {
	t.Parallel()
	for range 10_000 {
		b := retry.Backoff{Initial: rand.N(time.Hour) + 1}
		b.Max = b.Initial + rand.N(24*time.Hour)
		before := rand.IntN(100)
		full := b.Initial
		for i := 0; i < before && full < b.Max; i++ {
			full = min(2*full, b.Max)
		}
		got := b.Delay(before)
		require.GreaterOrEqual(t, got, full/2, "%+v after %d", b, before)
		require.LessOrEqual(t, got, full, "%+v after %d", b, before)
	}
}

// A loop that fails slows down to a round in five seconds, and begins anew after
// a success.
func TestALoopSlowsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var loop retry.Loop
		took := func() time.Duration {
			began := time.Now()
			loop.SlowDown(t.Context())
			return time.Since(began)
		}
		for _, millis := range []int{100, 200, 400, 800, 1600, 3200, 5000, 5000} {
			require.Equal(t, time.Duration(millis)*time.Millisecond, took())
		}
		loop.Reset()
		require.Equal(t, 100*time.Millisecond, took())
	})
}

func TestWaitEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		require.NoError(t, retry.Wait(ctx, time.Millisecond))
		require.ErrorIs(t, retry.Wait(ctx, time.Minute), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(began))
	})
}
