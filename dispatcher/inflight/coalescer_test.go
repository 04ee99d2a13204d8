package inflight_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/inflight"
)

// The first of a key leads; the others follow it, and no other key's.
func TestTheFirstLeads(t *testing.T) {
	t.Parallel()
	c := inflight.NewCoalescer[string, int]()
	require.True(t, c.Join("a", 1))
	require.True(t, c.Join("b", 2))
	require.False(t, c.Join("a", 3))
	require.False(t, c.Join("a", 4))
	require.Empty(t, c.Leave("a", 3, false), "it leads nothing")
	require.Empty(t, c.Leave("c", 9, false), "nor does it")
	require.Equal(t, []int{3, 4}, c.Leave("a", 1, false))
	require.True(t, c.Join("a", 5), "the key is free again")
	require.Empty(t, c.Leave("b", 2, true))
	require.True(t, c.Join("b", 6))
}

// Where the leader hands the lead on, the first follower has it, and the rest.
func TestAFollowerIsPromoted(t *testing.T) {
	t.Parallel()
	c := inflight.NewCoalescer[string, int]()
	for item := 1; item <= 4; item++ {
		require.Equal(t, item == 1, c.Join("a", item))
	}
	require.Equal(t, []int{2}, c.Leave("a", 1, true))
	require.Empty(t, c.Leave("a", 1, false), "it leads no more")
	require.False(t, c.Join("a", 5))
	require.Equal(t, []int{3}, c.Leave("a", 2, true))
	require.Equal(t, []int{4, 5}, c.Leave("a", 3, false))
	require.True(t, c.Join("a", 6))
}
