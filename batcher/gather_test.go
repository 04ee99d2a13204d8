package batcher_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// An idle lane's first item waits for others, for as long as it is told to and no
// longer than until the batch is full.
func TestIdleLanesGather(t *testing.T) {
	t.Parallel()
	for name, gather := range map[string]time.Duration{"shorter than linger": 40 * time.Millisecond, "longer": 800 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, func(o *options) { o.Gather = gather })
				b.add("a", "1")
				time.Sleep(gather / 2)
				b.add("a", "2")
				b.add("b", "1", "2", "3")
				require.Equal(t, []string{"b:1,2,3"}, b.got(), "what is full goes")
				time.Sleep(gather/2 - time.Millisecond)
				require.Empty(t, b.got())
				time.Sleep(12 * time.Millisecond) // it is looked at now and then
				require.Equal(t, []string{"a:1,2"}, b.got())
				b.Drain()
			})
		})
	}
}

// A lane sends no more batches than one in that time, however its items come, and
// however slowly they are sent.
func TestGatheringBoundsTheBatches(t *testing.T) {
	t.Parallel()
	for name, takes := range map[string]time.Duration{"quick": 0, "slow": 300 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const gather = time.Second
				var batches atomic.Int32
				b := setup(t, func(o *options) {
					o.Gather, o.MaxEvents, o.MaxBytes, o.MaxWaiting = gather, 1000, 10_000, 1000
					o.Send = func(*batch) {
						batches.Add(1)
						time.Sleep(takes)
					}
				})
				for range 1000 {
					b.add("a", "x")
					time.Sleep(10 * time.Millisecond)
				}
				b.Drain()
				require.LessOrEqual(t, batches.Load(), int32(11), "in ten seconds")
			})
		})
	}
}

// A worker that stops does not wait for more.
func TestDrainingDoesNotGather(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, func(o *options) { o.Gather = time.Minute })
		b.add("a", "1")
		began := time.Now()
		b.Drain()
		require.Equal(t, []string{"a:1"}, b.got())
		require.Zero(t, time.Since(began))
	})
}
