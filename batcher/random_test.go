package batcher_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
)

// FuzzEveryItemLeavesOnce drives a batcher at random: whatever the sizes, the
// delays and the rests, every item is sent or overflows exactly once, no batch
// is larger than it may be, and no more are in flight than allowed.
func FuzzEveryItemLeavesOnce(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		synctest.Test(t, func(t *testing.T) { driveAtRandom(t, rand.New(rand.NewPCG(seed, 1))) })
	})
}

type item struct{ id, size int }

func driveAtRandom(t *testing.T, random *rand.Rand) {
	t.Helper()
	const items, overhead = 500, 7
	var (
		mu       sync.Mutex
		left     = make([]int, items) // how often each item has left
		perLane  = make(map[int]int)
		inFlight atomic.Int64
		behind   atomic.Int64
		opts     batcher.Options[int, item]
		most     int // in flight
	)
	leave := func(batch []item) {
		for _, i := range batch {
			left[i.id]++
		}
	}
	pauses := make([]time.Duration, 64)
	for i := range pauses {
		pauses[i] = time.Duration(random.IntN(300)) * time.Millisecond
	}
	opts = batcher.Options[int, item]{
		Config:  batcher.Config{MaxEvents: 1 + random.IntN(20), MaxBytes: 50 + random.IntN(200), Linger: time.Duration(random.IntN(200)) * time.Millisecond},
		Senders: 1 + random.IntN(5), SendersPerLane: 1 + random.IntN(3), SendersPerLaneMax: random.IntN(6),
		LateAfter:  time.Duration(random.IntN(3)) * 100 * time.Millisecond,
		MaxWaiting: 1 + random.IntN(items), MaxWait: time.Duration(random.IntN(2000)) * time.Millisecond,
		Behind:   func() int { return int(behind.Load()) },
		Overhead: func(int) int { return overhead },
		Send: func(b *batcher.Batch[int, item]) {
			size := overhead
			for _, i := range b.Items {
				size += i.size
			}
			mu.Lock()
			perLane[b.Lane]++
			require.LessOrEqual(t, perLane[b.Lane], max(opts.SendersPerLane, opts.SendersPerLaneMax))
			require.LessOrEqual(t, len(b.Items), opts.MaxEvents)
			require.True(t, size <= opts.MaxBytes || len(b.Items) == 1, "%d bytes in a batch", size)
			leave(b.Items)
			mu.Unlock()
			for _, pause := range pauses[:b.Items[0].id%4] {
				require.LessOrEqual(t, inFlight.Add(1), int64(most))
				time.Sleep(pause)
				inFlight.Add(-1)
				require.NoError(t, b.Rest(t.Context(), pause))
			}
			mu.Lock()
			perLane[b.Lane]--
			mu.Unlock()
		},
		Overflow: func(_ int, batch []item) {
			mu.Lock()
			defer mu.Unlock()
			leave(batch)
		},
	}
	most = opts.Senders
	if opts.LateAfter > 0 {
		most *= 2 // half of them late
	}
	b := batcher.New(opts)
	for id := range items {
		size := 1 + random.IntN(60)
		b.Add(batcher.Item[int, item]{Lane: random.IntN(6), Value: item{id: id, size: size}, Size: size})
		behind.Store(int64(random.IntN(3) * random.IntN(items)))
		if random.IntN(10) == 0 {
			time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
		}
	}
	b.Drain()
	for id, times := range left {
		require.Equal(t, 1, times, "item %d", id)
	}
	require.Zero(t, b.Stats().Waiting)
}

// BenchmarkAdd pushes events of 20 lanes through a batcher whose senders take
// no time: what batching itself costs an event.
func BenchmarkAdd(b *testing.B) {
	batches := atomic.Int64{}
	opts := batcher.Options[int, item]{
		Config:  batcher.DefaultConfig(),
		Senders: 16, SendersPerLane: 2, MaxWaiting: 1 << 30, MaxWait: time.Hour,
		Overhead: func(int) int { return 0 },
		Send:     func(*batcher.Batch[int, item]) { batches.Add(1) },
		Overflow: func(int, []item) {},
	}
	under := batcher.New(opts)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		under.Add(batcher.Item[int, item]{Lane: i % 20, Value: item{id: i}, Size: 700})
		i++
	}
	under.Drain()
	b.ReportMetric(float64(b.N)/float64(batches.Load()), "events/batch")
}
