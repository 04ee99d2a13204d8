package batcher_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
)

// While a backlog waits outside, an idle lane's items gather: until the batch is
// full, the oldest has lingered, or the room is used up.
func TestIdleLanesGatherWhileMoreWaitsOutside(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		add   func(b *harness)
		after time.Duration // before which nothing goes
		sent  []string
	}{
		"full":                 {func(b *harness) { b.add("a", "1", "2", "3") }, 0, []string{"a:1,2,3"}},
		"lingered":             {func(b *harness) { b.add("a", "1") }, 80 * time.Millisecond, []string{"a:1"}},
		"the room is used up":  {func(b *harness) { b.add("a", "1", "2"); b.add("b", "1", "2"); b.add("c", "1") }, 0, []string{"c:1"}},
		"several of one lane":  {func(b *harness) { b.add("a", "1"); b.add("a", "2"); b.add("a", "3") }, 0, []string{"a:1,2,3"}},
		"what is over its own": {func(b *harness) { b.add("a", "1", "2", "3", "4") }, 0, []string{"a:1,2,3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, func(o *options) {
					o.MaxWaiting = 5
					o.More = func() bool { return true }
				})
				tc.add(b)
				if tc.after > 0 {
					time.Sleep(tc.after - time.Millisecond)
					require.Empty(t, b.got())
					time.Sleep(12 * time.Millisecond) // it is looked at eight times in that time
				}
				require.Equal(t, tc.sent, b.got())
				b.Drain()
			})
		})
	}
}

// Large items use up the bytes before there are many.
func TestTheRoomIsUsedUpByBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, func(o *options) {
			o.MaxWaitingBytes = 5000
			o.More = func() bool { return true }
		})
		heavy := func(lane string) { b.Add(batcher.Item[string, string]{Lane: lane, Value: "1", Size: 1, Weight: 2000}) }
		heavy("a")
		heavy("b")
		require.Empty(t, b.got())
		heavy("c")
		require.Equal(t, []string{"c:1"}, b.got(), "there is no room for more")
		heavy("d")
		require.Equal(t, []string{"d:1"}, b.got(), "what has gone has left the room")
		time.Sleep(100 * time.Millisecond)
		require.Equal(t, []string{"a:1", "b:1"}, sorted(b.got()))
		b.Drain()
	})
}

func sorted(texts []string) []string {
	slices.Sort(texts)
	return texts
}

// Once nothing more waits outside, what has gathered goes, and what comes goes at
// once.
func TestNothingGathersWhenTheBacklogIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var more atomic.Bool
		more.Store(true)
		b := setup(t, func(o *options) { o.More = more.Load })
		b.add("a", "1")
		require.Empty(t, b.got())
		more.Store(false)
		time.Sleep(10 * time.Millisecond)
		require.Equal(t, []string{"a:1"}, b.got())
		b.add("b", "1")
		require.Equal(t, []string{"b:1"}, b.got())
		b.Drain()
	})
}
