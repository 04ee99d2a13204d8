package batcher_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
)

func TestSlowLanesLeaveSendersForTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, func(o *options) { o.Senders = 3 }, "slow")
		b.add("slow", "1")
		require.Equal(t, []string{"slow:1"}, b.got())
		b.add("slow", "2", "3", "4", "5", "6", "7", "8", "9")
		require.Equal(t, []string{"slow:2,3,4"}, b.got(), "two senders at the most")
		time.Sleep(time.Second)
		require.Empty(t, b.got())
		b.add("other", "1")
		require.Equal(t, []string{"other:1"}, b.got())
		require.Equal(t, batcher.Stats{Waiting: 5, Lanes: 1, Busy: 2}, b.Stats())
		b.release("slow")
		require.ElementsMatch(t, []string{"slow:5,6,7", "slow:8,9"}, b.got())
		b.Drain()
	})
}

func TestACrowdDoesNotLinger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, func(o *options) {
			o.Linger, o.MaxWaiting = time.Hour, 2
		}, "a", "b")
		b.add("a", "1")
		b.add("b", "1")
		require.Len(t, b.got(), 2)
		b.add("a", "2")
		require.Empty(t, b.got(), "it lingers")
		b.add("b", "2")
		require.Equal(t, []string{"b:2"}, b.got(), "two wait, and the newcomer goes")
		b.release("a")
		b.release("b")
		b.Drain()
	})
}

func TestACongestedLaneOverflows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, func(o *options) {
			o.SendersPerLane, o.MaxWaiting, o.MaxWait = 1, 4, 10*time.Second
		}, "slow", "quick")
		b.add("slow", "1")
		b.add("quick", "1")
		require.Len(t, b.got(), 2)
		b.add("slow", "2", "3", "4")
		time.Sleep(15 * time.Second)
		require.Empty(t, b.overflowed, "there is room: nobody is pushed out")
		b.add("quick", "2")
		time.Sleep(time.Second)
		require.Empty(t, b.got())
		require.Equal(t, []string{"slow:2,3,4"}, b.overflowed, "only the lane that does not keep up")
		b.release("slow")
		b.release("quick")
		require.Equal(t, []string{"quick:2"}, b.got())
		b.Drain()
	})
}

// While many senders are idle, a lane may have more of them than its share; but
// only for full batches, and never so many that the others find none.
func TestLanesBorrowIdleSenders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, func(o *options) { o.Senders, o.SendersPerLane, o.SendersPerLaneMax = 8, 1, 4 }, "big", "other", "third")
		b.add("big", "1", "2", "3", "4", "5", "6", "7", "8")
		require.ElementsMatch(t, []string{"big:1,2,3", "big:4,5,6"}, b.got())
		time.Sleep(time.Second)
		require.Empty(t, b.got(), "nothing is borrowed for a batch that is not full")
		b.add("other", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f")
		require.ElementsMatch(t, []string{"other:1,2,3", "other:4,5,6", "other:7,8,9", "other:a,b,c"}, b.got(), "four, and no more")
		b.add("big", "9")
		require.Empty(t, b.got(), "three quarters of all are busy: the rest is for others")
		b.add("third", "1")
		require.Equal(t, []string{"third:1"}, b.got())
		b.release("big")
		b.release("other")
		b.release("third")
		b.Drain()
	})
}

// A lane borrows nothing that would fill more than half of the room with what it
// has sent, while others wait outside: what makes way needs room to pass through.
func TestALaneThatOthersWaitForBorrowsLess(t *testing.T) {
	t.Parallel()
	for behind, want := range map[int][]string{
		0:       {"big:1,2,3", "big:4,5,6", "big:7,8,9", "big:a,b,c"},
		1 << 20: {"big:1,2,3", "big:4,5,6"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, func(o *options) {
				o.Senders, o.SendersPerLane, o.SendersPerLaneMax, o.MaxWaiting = 8, 1, 4, 6
				o.MaxWait, o.Behind = time.Minute, func() int { return behind }
			}, "big")
			b.add("big", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c")
			require.ElementsMatch(t, want, b.got())
			b.release("big")
			b.Drain()
		})
	}
}

// A lane that takes all the room while others are behind it makes way, down to
// its next batch, if they would have to wait for too long.
func TestALaneInTheWayOverflows(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		behind int
		want   []string
	}{
		"nobody is behind":                        {0, nil},
		"those behind do not wait for long":       {20, nil},
		"at this pace, those behind wait a while": {200, []string{"big:7,8"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, func(o *options) {
					o.SendersPerLane, o.MaxWait, o.Behind = 1, 10*time.Second, func() int { return tc.behind }
				}, "big")
				b.add("big", "1", "2", "3", "4", "5", "6", "7", "8")
				time.Sleep(time.Second)
				require.Equal(t, []string{"big:1,2,3"}, b.got(), "a batch of three a second")
				require.Equal(t, tc.want, b.overflowed)
				b.release("big")
				b.Drain()
			})
		})
	}
}

// A lane that does not have most of the items is not in the way.
func TestALaneAmongManyDoesNotOverflow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, func(o *options) {
			o.SendersPerLane, o.Behind = 1, func() int { return 1 << 20 }
		}, "a", "b", "c")
		for _, lane := range []string{"a", "b", "c"} {
			b.add(lane, "1", "2", "3", "4", "5", "6", "7", "8")
		}
		time.Sleep(time.Second)
		require.Empty(t, b.overflowed)
		for _, lane := range []string{"a", "b", "c"} {
			b.release(lane)
		}
		b.Drain()
	})
}
