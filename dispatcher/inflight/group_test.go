package inflight_test

import (
	"slices"
	"testing"
	"testing/quick"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/inflight"
)

func sameKey(a, b item) bool { return a.key == b.key }

func keyOf(i item) string { return i.key }

func TestRuns(t *testing.T) {
	t.Parallel()
	all := []item{{"a", 1}, {"a", 2}, {"b", 3}, {"a", 4}}
	require.Equal(t, [][]item{all[:2], all[2:3], all[3:]}, slices.Collect(inflight.Runs(all, sameKey)))
	require.Empty(t, slices.Collect(inflight.Runs(nil, sameKey)))
	for run := range inflight.Runs(all, sameKey) {
		require.Equal(t, all[:2], run)
		break
	}
}

func TestGather(t *testing.T) {
	t.Parallel()
	require.Equal(t, []item{{"b", 1}, {"b", 3}, {"a", 2}, {"a", 4}},
		inflight.Gather([]item{{"b", 1}, {"a", 2}, {"b", 3}, {"a", 4}}, keyOf))
	require.Equal(t, []item{{"a", 1}}, inflight.Gather([]item{{"a", 1}}, keyOf))
}

// Nothing gets lost or comes twice, each key has one run, and its items their order.
func TestGatheredItemsAreTheSameItems(t *testing.T) {
	t.Parallel()
	require.NoError(t, quick.Check(func(keys []uint8) bool {
		var all []item
		for n, key := range keys {
			all = append(all, item{string(rune('a' + key%5)), n})
		}
		gathered := inflight.Gather(all, keyOf)
		seen := make(map[string]bool)
		for run := range inflight.Runs(gathered, sameKey) {
			if seen[run[0].key] || !slices.IsSortedFunc(run, func(a, b item) int { return a.n - b.n }) {
				return false
			}
			seen[run[0].key] = true
		}
		slices.SortFunc(gathered, func(a, b item) int { return a.n - b.n })
		return slices.Equal(all, gathered)
	}, nil))
}
