package dispatcher

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

func TestAHandfulIsBlamed(t *testing.T) {
	t.Parallel()
	d, now, unknown, never := newDoubts(), time.Now(), graph.ErrorCode{Code: 424242}, time.Time{}
	for i := range 20 {
		blamed, inDoubt := d.refused("1", unknown, never, now)
		require.Equal(t, i < handful, blamed, i)
		require.Equal(t, i >= handful-1, inDoubt, i)
		require.Equal(t, inDoubt, d.exist("1"))
	}
	require.False(t, d.exist("2"), "each dataset for itself")
	blamed, inDoubt := d.refused("1", graph.ErrorCode{Code: 100}, never, now)
	require.True(t, blamed, "each code for itself")
	require.False(t, inDoubt)

	d.accepted("1", now)
	require.False(t, d.exist("1"))
	for range 20 {
		blamed, _ = d.refused("1", unknown, now.Add(-time.Second), now)
		require.True(t, blamed, "it was refused before, and others are accepted since")
	}
	require.False(t, d.exist("1"), "and that is no reason for doubt")
}

// Another worker's news of an acceptance counts like one's own, but not for what
// was refused after it.
func TestNewsOfAnAcceptance(t *testing.T) {
	t.Parallel()
	d, began, unknown := newDoubts(), time.Now(), graph.ErrorCode{Code: 424242}
	after := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	for range handful {
		d.refused("1", unknown, time.Time{}, after(2))
	}
	d.hear("1", time.Time{})
	require.Zero(t, d.acceptedAt("1"), "no news")
	d.hear("1", after(1))
	require.True(t, d.exist("1"), "it was before these were refused")
	blamed, _ := d.refused("1", unknown, began, after(2))
	require.True(t, blamed, "this one was refused before it, too")
	d.hear("1", after(3))
	require.False(t, d.exist("1"))
	d.hear("1", after(1))
	require.Equal(t, after(3), d.acceptedAt("1"), "news of old")
	require.Zero(t, d.acceptedAt("2"))
}

func TestDoubtsAreBounded(t *testing.T) {
	t.Parallel()
	d := newDoubts()
	for i := range maxTroubles + 10 {
		d.accepted(strconv.Itoa(i), time.Now())
	}
	require.Len(t, d.states, maxTroubles)
}

func TestSpread(t *testing.T) {
	t.Parallel()
	for n, want := range map[int][]int{
		0: nil, 1: {0}, 2: {1, 0}, 3: {2, 0, 1}, 8: {7, 0, 1, 2, 3, 4, 5, 6}, 9: {8, 0, 1, 2, 3, 4, 5, 6}, 1001: {1000, 0, 142, 285, 428, 571, 714, 857},
	} {
		require.Equal(t, want, spread(n, 8), n)
	}
	require.Equal(t, []int{4}, spread(5, 1))
}
