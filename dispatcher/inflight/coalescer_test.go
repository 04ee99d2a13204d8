package inflight_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/inflight"
)

// item has a name as its key.
type item struct {
	key string
	n   int
}

// coalesce returns a coalescer of items, and how to make one.
func coalesce() (*inflight.Coalescer[string, item], func(key string, numbers ...int) []item) {
	some := func(key string, numbers ...int) (all []item) {
		for _, n := range numbers {
			all = append(all, item{key, n})
		}
		return all
	}
	return inflight.NewCoalescer(func(i item) string { return i.key }), some
}

// The first of a key leads; the others follow it, and no other key's.
func TestTheFirstLeads(t *testing.T) {
	t.Parallel()
	c, some := coalesce()
	require.Equal(t, []item{{"a", 1}, {"b", 2}}, c.Join([]item{{"a", 1}, {"b", 2}, {"a", 3}}))
	require.Empty(t, c.Join(some("a", 4)))
	require.Empty(t, c.Leave(some("a", 3), false), "it leads nothing")
	require.Empty(t, c.Leave(some("c", 9), false), "nor does it")
	require.Equal(t, some("a", 3, 4), c.Leave(some("a", 1), false))
	require.Len(t, c.Join(some("a", 5)), 1, "the key is free again")
	require.Empty(t, c.Leave(some("b", 2), true))
	require.Len(t, c.Join(some("b", 6)), 1)
}

// Where the leader hands the lead on, the first follower has it, and the rest.
func TestAFollowerIsPromoted(t *testing.T) {
	t.Parallel()
	c, some := coalesce()
	require.Equal(t, some("a", 1), c.Join(some("a", 1, 2, 3, 4)))
	require.Equal(t, some("a", 2), c.Leave(some("a", 1), true))
	require.Empty(t, c.Leave(some("a", 1), false), "it leads no more")
	require.Empty(t, c.Join(some("a", 5)))
	require.Equal(t, some("a", 3), c.Leave(some("a", 2), true))
	require.Equal(t, some("a", 4, 5), c.Leave(some("a", 3), false))
	require.Len(t, c.Join(some("a", 6)), 1)
}

// Leaders of several keys leave together, each with its own followers.
func TestSeveralLeaveTogether(t *testing.T) {
	t.Parallel()
	c, _ := coalesce()
	leaders := c.Join([]item{{"a", 1}, {"b", 1}, {"a", 2}, {"b", 2}, {"a", 3}})
	require.Equal(t, []item{{"a", 2}, {"b", 2}}, c.Leave(leaders, true))
	require.Equal(t, []item{{"a", 3}}, c.Leave([]item{{"a", 2}, {"b", 2}}, false))
	require.Empty(t, c.Leave(leaders, false))
}
