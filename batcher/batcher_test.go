package batcher_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type (
	batch   = batcher.Batch[string, string]
	options = batcher.Options[string, string]
)

// harness is a batcher whose batches are held until the test lets them go.
type harness struct {
	*batcher.Batcher[string, string]

	mu         sync.Mutex
	sent       []string // "lane:item,item", in the order of sending
	overflowed []string
	hold       map[string]chan struct{}
}

// setup starts a batcher. A lane named in hold keeps its batches in flight
// until the test calls release.
func setup(t *testing.T, change func(*options), hold ...string) *harness {
	t.Helper()
	b := &harness{hold: make(map[string]chan struct{})}
	for _, lane := range hold {
		b.hold[lane] = make(chan struct{})
	}
	opts := options{
		Config:  batcher.Config{MaxEvents: 3, MaxBytes: 1000, Linger: 80 * time.Millisecond},
		Senders: 4, SendersPerLane: 2, MaxWaiting: 1000, MaxWait: time.Minute,
		Overhead: func(string) int { return 10 },
		Send:     b.send,
		Overflow: func(lane string, items []string) { b.note(&b.overflowed, lane, items) },
	}
	if change != nil {
		change(&opts)
	}
	b.Batcher = batcher.New(opts)
	return b
}

func (b *harness) send(batch *batch) {
	b.note(&b.sent, batch.Lane, batch.Items)
	if held := b.hold[batch.Lane]; held != nil {
		<-held
	}
}

func (b *harness) note(where *[]string, lane string, items []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*where = append(*where, lane+":"+strings.Join(items, ","))
}

// add puts one-byte items into a lane, together.
func (b *harness) add(lane string, items ...string) {
	together := make([]batcher.Item[string, string], len(items))
	for i, item := range items {
		together[i] = batcher.Item[string, string]{Lane: lane, Value: item, Size: 1}
	}
	b.Add(together...)
}

// got waits until everything is quiet and returns what was sent since the
// last call.
func (b *harness) got() []string {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	sent := b.sent
	b.sent = nil
	return sent
}

func (b *harness) release(lane string) { close(b.hold[lane]) }

func TestAnIdleLanesFirstItemGoesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, nil)
		start := time.Now()
		b.add("a", "1")
		require.Equal(t, []string{"a:1"}, b.got())
		b.add("a", "2")
		require.Equal(t, []string{"a:2"}, b.got())
		require.Zero(t, time.Since(start), "nobody lingered")
		b.Drain()
	})
}

func TestItemsAddedTogetherGoTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, nil)
		b.add("a", "1", "2", "3")
		require.Equal(t, []string{"a:1,2,3"}, b.got())
		b.Drain()
	})
}

func TestItemsGatherWhileABatchIsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, func(o *options) { o.SendersPerLane = 1 }, "a")
		b.add("a", "1")
		require.Equal(t, []string{"a:1"}, b.got())
		b.add("a", "2", "3")
		time.Sleep(time.Second)
		require.Empty(t, b.got(), "the lane has no second sender")
		b.release("a")
		require.Equal(t, []string{"a:2,3"}, b.got(), "gone as soon as the first came back")
		b.Drain()
	})
}

func TestAFullBatchGoesAtOnce(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		sizes []int
		want  []string
	}{
		"by count":                      {[]int{1, 1, 1, 1}, []string{"a:a,b,c"}},
		"one short of the count":        {[]int{1, 1}, nil},
		"by bytes, the overhead counts": {[]int{495, 495}, []string{"a:a,b"}},
		"a byte short":                  {[]int{495, 494}, nil},
		"one more would be too many":    {[]int{495, 494, 2}, []string{"a:a,b"}},
		"larger than a batch, alone":    {[]int{2000}, []string{"a:a"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, nil, "a")
				b.add("a", "first")
				require.Equal(t, []string{"a:first"}, b.got())
				for i, size := range tc.sizes {
					b.Add(batcher.Item[string, string]{Lane: "a", Value: string(rune('a' + i)), Size: size})
				}
				require.Equal(t, tc.want, b.got())
				b.release("a")
				b.Drain()
			})
		})
	}
}

func TestLinger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, nil, "a")
		b.add("a", "first")
		require.Equal(t, []string{"a:first"}, b.got())
		b.add("a", "1")
		time.Sleep(70 * time.Millisecond)
		b.add("a", "2")
		require.Empty(t, b.got())
		time.Sleep(20 * time.Millisecond)
		require.Equal(t, []string{"a:1,2"}, b.got(), "the oldest item has lingered for 80ms")
		b.release("a")
		b.Drain()
	})
}

func TestBatchesGrowWhileTheyWaitForASender(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, func(o *options) { o.Senders = 1 }, "busy")
		b.add("busy", "1")
		require.Equal(t, []string{"busy:1"}, b.got())
		b.add("a", "1")
		b.add("b", "1")
		synctest.Wait()
		b.add("a", "2")
		require.Empty(t, b.got())
		b.release("busy")
		require.Equal(t, []string{"a:1,2", "b:1"}, b.got(), "first come, first served")
		b.Drain()
	})
}

func TestARestingBatchGivesItsSenderUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b *harness
		rests := make(chan error, 1)
		b = setup(t, func(o *options) {
			o.Senders, o.SendersPerLane = 1, 1
			o.Send = func(batch *batch) {
				b.send(batch)
				if batch.Lane == "failing" {
					rests <- batch.Rest(t.Context(), 10*time.Second)
				}
			}
		}, "other")
		b.add("failing", "1")
		b.add("other", "1")
		require.Equal(t, []string{"failing:1", "other:1"}, b.got(), "one sender serves both")
		b.add("failing", "2")
		time.Sleep(time.Minute)
		require.Empty(t, b.got(), "a resting batch keeps its place in its lane")
		require.Empty(t, rests, "it waits for a sender again")
		b.release("other")
		require.Equal(t, []string{"failing:2"}, b.got())
		require.NoError(t, <-rests)
		time.Sleep(10 * time.Second)
		require.NoError(t, <-rests)
		b.Drain()
	})
}

func TestRestEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, until := range map[string]time.Duration{
		"while waiting":              5 * time.Second,
		"while queueing for a place": 15 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), until)
				defer cancel()
				var b *harness
				rests := make(chan error, 1)
				b = setup(t, func(o *options) {
					o.Senders = 1
					o.Send = func(batch *batch) {
						if batch.Lane == "failing" {
							rests <- batch.Rest(ctx, 10*time.Second)
							return
						}
						b.send(batch)
					}
				}, "other")
				b.add("failing", "1")
				synctest.Wait()
				b.add("other", "1")
				start := time.Now()
				require.ErrorIs(t, <-rests, context.DeadlineExceeded)
				require.Equal(t, until, time.Since(start))
				b.release("other")
				b.add("third", "1")
				require.Equal(t, []string{"other:1", "third:1"}, b.got(), "no sender was lost")
				b.Drain()
			})
		})
	}
}

func TestDrainSendsEverythingAndWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, func(o *options) { o.Linger = time.Hour }, "a")
		b.add("a", "1")
		require.Equal(t, []string{"a:1"}, b.got())
		b.add("a", "2", "3")
		require.Empty(t, b.got())
		done := make(chan struct{})
		go func() { b.Drain(); close(done) }()
		require.Equal(t, []string{"a:2,3"}, b.got(), "nobody lingers any more")
		select {
		case <-done:
			t.Fatal("batches are in flight")
		default:
		}
		b.release("a")
		<-done
	})
}

func TestSendMayAddWhileDraining(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b *harness
		b = setup(t, func(o *options) {
			o.Send = func(batch *batch) {
				b.send(batch)
				if batch.Items[0] == "leader" {
					b.add("a", "follower")
				}
			}
		})
		b.add("a", "leader")
		b.Drain()
		require.Equal(t, []string{"a:leader", "a:follower"}, b.got())
	})
}

func TestIdleLanesAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, nil)
		for i := range 10_000 {
			b.add("lane "+string(rune(i+1000)), "1")
		}
		require.Len(t, b.got(), 10_000)
		require.Zero(t, b.Stats())
		b.Drain()
	})
}

func TestConfig(t *testing.T) {
	t.Parallel()
	require.NoError(t, batcher.DefaultConfig().Validate())
	err := batcher.Config{MaxEvents: 0, MaxBytes: 1, Linger: -1}.Validate()
	for _, key := range []string{"max_events", "max_bytes", "linger"} {
		require.ErrorContains(t, err, key+": ")
	}
}
