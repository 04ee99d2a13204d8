package health_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What nobody has tried is open, and says that no more is known.
func TestGatesBeginUntried(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		gate       *health.Gate
		ok         bool
		reason     string
		shut, open bool // are these news?
	}{
		"untried":   {health.NewGate(), true, "not tried yet", true, false},
		"unchecked": {health.NewUncheckedGate(), false, "not checked yet", true, false},
		"open":      {health.NewOpenGate(), true, "", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := tc.gate.Condition("redis")
			require.Equal(t, "redis", c.Name)
			require.Equal(t, tc.ok, c.OK)
			require.Equal(t, tc.ok, tc.gate.IsOpen())
			require.Equal(t, tc.reason, c.Reason)
			require.Equal(t, tc.open, tc.gate.Open(), "nothing had shut it")
			require.Equal(t, tc.shut, tc.gate.Shut("it is away"))
			require.False(t, tc.gate.Shut("it is still away"), "no news")
			require.Equal(t, "it is still away", tc.gate.Condition("").Reason)
			require.True(t, tc.gate.Open())
			require.False(t, tc.gate.Open(), "no news")
			require.Empty(t, tc.gate.Condition("").Reason)
		})
	}
}

// A condition is as old as its last change; another reason is none.
func TestSinceIsTheLastChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := health.NewOpenGate()
		time.Sleep(time.Minute)
		gate.Shut("a")
		began := time.Now()
		time.Sleep(time.Minute)
		gate.Shut("b")
		require.Equal(t, began, gate.Condition("").Since)
		gate.Open()
		require.Equal(t, began.Add(time.Minute), gate.Condition("").Since)
	})
}

// Whoever waits for a gate goes on when it is as wanted, and only then, or when
// the context ends.
func TestAwait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := health.NewUncheckedGate()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		go func() {
			time.Sleep(time.Minute)
			gate.Shut("again")
			time.Sleep(time.Minute)
			gate.Open()
		}()
		require.NoError(t, gate.AwaitShut(ctx))
		require.NoError(t, gate.AwaitOpen(ctx))
		require.Equal(t, 2*time.Minute, time.Since(began))
		require.ErrorIs(t, gate.AwaitShut(ctx), context.DeadlineExceeded)
	})
}

// A warning does not block, nor does what holds.
func TestBlocks(t *testing.T) {
	t.Parallel()
	require.True(t, health.Condition{}.Blocks())
	require.False(t, health.Condition{Warning: true}.Blocks())
	require.False(t, health.Condition{OK: true}.Blocks())
}
