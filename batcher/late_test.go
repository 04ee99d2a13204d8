package batcher_test

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
)

func lateAfter2s(o *options) { o.LateAfter = 2 * time.Second }

// Nobody knows beforehand that a lane will not answer, so such lanes may have all
// senders at first; but not for long, and not again.
func TestLateBatchesStandAside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, lateAfter2s, "h1", "h2", "h3", "h4")
		for _, lane := range []string{"h1", "h2", "h3", "h4"} {
			b.add(lane, "1")
		}
		require.Len(t, b.got(), 4, "all senders")
		b.add("well", "1")
		time.Sleep(1900 * time.Millisecond)
		require.Empty(t, b.got())
		time.Sleep(200 * time.Millisecond)
		require.Equal(t, []string{"well:1"}, b.got())
		require.Equal(t, batcher.Stats{Lanes: 4, Aside: 4}, b.Stats())
		b.add("h1", "2", "3", "4", "5", "6", "7")
		time.Sleep(time.Minute)
		require.Empty(t, b.got(), "a late lane sends nothing else")
		b.release("h1")
		require.ElementsMatch(t, []string{"h1:2,3,4", "h1:5,6,7"}, b.got(), "until it has answered")
		for _, lane := range []string{"h2", "h3", "h4"} {
			b.release(lane)
		}
		b.Drain()
		require.Zero(t, b.Stats())
	})
}

// No more stand aside than there are senders: beyond that late batches keep theirs.
func TestOnlySoManyStandAside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lanes := make([]string, 12)
		for i := range lanes {
			lanes[i] = "h" + strconv.Itoa(i)
		}
		b := setup(t, lateAfter2s, lanes...)
		for _, lane := range lanes {
			b.add(lane, "1")
		}
		time.Sleep(time.Minute)
		require.Len(t, b.got(), 8)
		require.Equal(t, batcher.Stats{Waiting: 4, Lanes: 12, Busy: 4, Aside: 4}, b.Stats())
		for _, lane := range lanes {
			b.release(lane)
		}
		b.Drain()
	})
}

// A lane that always takes its time is as good as others.
func TestALaneThatIsSlowAsEverIsNotLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b *harness
		b = setup(t, func(o *options) {
			lateAfter2s(o)
			o.Send = func(batch *batch) { b.send(batch); time.Sleep(3 * time.Second) }
		})
		b.add("slow", "1", "2", "3", "4", "5", "6", "7", "8", "9")
		require.ElementsMatch(t, []string{"slow:1,2,3", "slow:4,5,6"}, b.got())
		time.Sleep(3 * time.Second)
		b.add("slow", "a", "b", "c", "d", "e", "f")
		require.ElementsMatch(t, []string{"slow:7,8,9", "slow:a,b,c"}, b.got())
		time.Sleep(2900 * time.Millisecond)
		require.Equal(t, 2, b.Stats().Busy, "neither is late")
		b.Drain()
	})
}

// Forty lanes never answer: each batch takes 15 s, waits, and is tried again, as
// that of a dataset is. Of 32 senders they have all for the first two seconds, and
// half of them at the most from then on. Twenty lanes that answer are held up only
// as long as that.
func TestFortyHangingLanesHoldNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const hanging, well, senders, minutes = 40, 20, 32, 3
		var (
			mu    sync.Mutex
			waits []time.Duration
			begun = time.Now()
		)
		b := batcher.New(batcher.Options[string, time.Time]{
			Config:  batcher.Config{MaxEvents: 1000, MaxBytes: 1 << 20, Linger: 250 * time.Millisecond},
			Senders: senders, SendersPerLane: 2, SendersPerLaneMax: 8, LateAfter: 2 * time.Second,
			MaxWaiting: 1 << 20, MaxWait: time.Hour,
			Overhead: func(string) int { return 0 },
			Send: func(batch *batcher.Batch[string, time.Time]) {
				if batch.Lane[0] == 'h' {
					for _, wait := range []time.Duration{500 * time.Millisecond, time.Second} {
						time.Sleep(15 * time.Second)
						_ = batch.Rest(t.Context(), wait)
					}
					time.Sleep(15 * time.Second)
					return
				}
				mu.Lock()
				for _, added := range batch.Items {
					waits = append(waits, time.Since(added))
				}
				mu.Unlock()
				time.Sleep(100 * time.Millisecond)
			},
			Overflow: func(string, []time.Time) {},
		})
		add := func(kind string, lanes int) {
			for i := range lanes {
				b.Add(batcher.Item[string, time.Time]{Lane: kind + strconv.Itoa(i), Value: time.Now(), Size: 1})
			}
		}
		for time.Since(begun) < minutes*time.Minute {
			add("h", hanging)
			add("w", well)
			time.Sleep(100 * time.Millisecond)
		}
		b.Drain()
		slices.Sort(waits)
		require.Len(t, waits, minutes*60*10*well)
		t.Logf("p50 %s, p99 %s, most %s", waits[len(waits)/2], waits[len(waits)*99/100], waits[len(waits)-1])
		require.Less(t, waits[len(waits)*99/100], 500*time.Millisecond)
		require.Less(t, waits[len(waits)-1], 2500*time.Millisecond)
	})
}
