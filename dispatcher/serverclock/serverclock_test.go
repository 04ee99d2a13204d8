package serverclock_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/serverclock"
)

func TestTheServersTimeIsReckoned(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	clock := serverclock.New(func() time.Time { return now })
	require.Equal(t, now, clock.Now(), "nothing is known")
	clock.Observe(time.Time{}, 0)
	require.Zero(t, clock.Skew(), "an old server says nothing")
	// Asked at -2 s, answered at 0 s: in the middle it was two minutes later there.
	clock.Observe(now.Add(2*time.Minute-time.Second), 2*time.Second)
	require.Equal(t, 2*time.Minute, clock.Skew())
	require.Equal(t, now.Add(2*time.Minute), clock.Now())
}

func TestSlowAnswersSayLess(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	clock := serverclock.New(func() time.Time { return now })
	clock.Observe(now.Add(time.Minute), 20*time.Millisecond)
	precise := clock.Skew()
	const slow = 5 * time.Second
	clock.Observe(now.Add(time.Minute), slow)
	require.Equal(t, precise, clock.Skew())
	for range 10 {
		clock.Observe(now.Add(time.Minute), slow)
	}
	require.Equal(t, time.Minute+slow/2, clock.Skew(), "but where there are no others, they count")
}
