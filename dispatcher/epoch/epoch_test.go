package epoch_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/epoch"
)

// stream answers what it is told to, after a while.
type stream struct {
	mu      sync.Mutex
	created time.Time
	last    uint64
	err     error
	took    time.Duration
	asked   int
}

func (s *stream) info() *jetstream.StreamInfo {
	info := &jetstream.StreamInfo{Config: jetstream.StreamConfig{Name: "CAPI"}, Created: s.created}
	info.State.LastSeq = s.last
	return info
}

func (s *stream) look(ctx context.Context, _ string) (*jetstream.StreamInfo, error) {
	s.mu.Lock()
	s.asked++
	info, err, took := s.info(), s.err, s.took
	s.mu.Unlock()
	select {
	case <-time.After(took):
		return info, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// change changes what it answers from now on.
func (s *stream) change(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *stream) recreate() { s.change(func() { s.created = s.created.Add(1) }) }

func (s *stream) timesAsked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// pass lets time pass, and everything happen that happens meanwhile.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// rig is a watch of one stream, whose time is not the clock's.
type rig struct {
	*stream
	*epoch.Epoch

	t     *testing.T // the bubble's
	watch *epoch.Watch
	ended []string
}

func run(t *testing.T, test func(r *rig)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, stream: &stream{created: time.Now(), took: 10 * time.Millisecond}}
		r.watch = epoch.New(r.look, func(stream string) { r.ended = append(r.ended, stream) })
		r.Epoch = r.watch.Of(r.info())
		test(r)
		r.watch.Close(time.Second)
	})
}

// await returns what has been told, whenever it is asked.
func (r *rig) await() func() string {
	var told atomic.Value
	told.Store("nothing")
	r.Await(func(current bool) {
		told.Store(map[bool]string{true: "current", false: "not current"}[current])
	})
	return func() string { return told.Load().(string) } //nolint:forcetypeassert // it is one
}

// While pulls follow each other, nobody asks.
func TestPullsWithoutABreakAreEnough(t *testing.T) {
	run(t, func(r *rig) {
		t := r.t
		for range 100 {
			r.Pulling()
			pass(5 * time.Second)
			require.True(t, r.Sure(), "while a pull waits")
			r.Pulled(false)
			pass(epoch.Lasts - time.Millisecond)
			require.True(t, r.Sure(), "for a while after it")
		}
		pass(time.Millisecond)
		require.False(t, r.Sure())
		r.Pulling()
		require.False(t, r.Sure(), "it may be the consumer of another stream")
		require.Zero(t, r.timesAsked())
	})
}

// What ends the certainty, and how it comes back.
func TestADoubtIsResolvedByTheStreamsWord(t *testing.T) {
	for name, doubt := range map[string]func(r *rig){
		"a failed pull":       func(r *rig) { r.Pulled(true) },
		"a number that falls": func(r *rig) { r.Doubt() },
		"a new connection":    func(r *rig) { r.watch.Doubt() },
		"another answer":      func(r *rig) { info := r.info(); info.Created = time.Now(); r.watch.Heard(info) },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(r *rig) {
				t := r.t
				r.Pulling()
				pass(time.Second)
				doubt(r)
				require.False(t, r.Sure())
				told := r.await()
				require.Equal(t, "nothing", told())
				pass(20 * time.Millisecond)
				require.Equal(t, "current", told())
				require.True(t, r.Sure())
				require.False(t, r.Over())
			})
		})
	}
}

func TestAnotherStreamEndsTheEpoch(t *testing.T) {
	for name, change := range map[string]func(r *rig){
		"created anew": func(r *rig) { r.recreate() },
		"deleted":      func(r *rig) { r.change(func() { r.err = jetstream.ErrStreamNotFound }) },
		"set back":     func(r *rig) { r.change(func() { r.last = 9 }) },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(r *rig) {
				t := r.t
				r.change(func() { r.last = 10 })
				r.Stored(10)
				r.Stored(3)
				change(r)
				told := r.await()
				pass(time.Second)
				require.Equal(t, "not current", told())
				require.True(t, r.Over())
				require.False(t, r.Sure())
				require.Equal(t, "not current", r.await()(), "at once")
				require.Equal(t, []string{"CAPI"}, r.ended, "told once")
				require.Equal(t, 1, r.timesAsked())
				r.Pulling()
				r.Doubt()
				require.False(t, r.Sure())
				require.NotSame(t, r.Epoch, r.watch.Of(r.info()))
			})
		})
	}
}

// A source that is opened again finds the stream as it was, or another.
func TestAnEpochIsTheStreams(t *testing.T) {
	run(t, func(r *rig) {
		t := r.t
		require.Same(t, r.Epoch, r.watch.Of(r.info()))
		told := r.await()
		r.recreate()
		next := r.watch.Of(r.info())
		require.NotEqual(t, r.ID, next.ID)
		require.True(t, r.Over())
		require.True(t, next.Sure())
		require.Equal(t, "not current", told())
	})
}

// An answer tells nothing of what came after the question.
func TestADoubtDuringAnAnswerNeedsAnother(t *testing.T) {
	run(t, func(r *rig) {
		t := r.t
		r.Doubt()
		first := r.await()
		pass(5 * time.Millisecond)
		r.Doubt()
		r.recreate() // the answer that is under way does not know
		pass(6 * time.Millisecond)
		require.Equal(t, "nothing", first())
		require.False(t, r.Sure())
		pass(time.Second)
		require.Equal(t, "not current", first())
	})
}

// While the stream does not answer, nobody is told, and all are asked for
// together.
func TestSilenceIsNoAnswer(t *testing.T) {
	run(t, func(r *rig) {
		t := r.t
		r.change(func() { r.err = errors.New("no servers") })
		r.Doubt()
		var told []func() string
		for range 100 {
			told = append(told, r.await())
			pass(100 * time.Millisecond)
		}
		require.Less(t, r.timesAsked(), 50)
		require.False(t, r.Sure())
		for _, each := range told {
			require.Equal(t, "nothing", each())
		}
		r.change(func() { r.err = nil })
		pass(time.Second)
		for _, each := range told {
			require.Equal(t, "current", each())
		}
	})
}

// When nothing is pulled any more, each word is good for what has waited for it
// and nothing else.
func TestAStoppingWorkerAsksEachTime(t *testing.T) {
	run(t, func(r *rig) {
		t := r.t
		r.Pulling()
		r.watch.AskAlways()
		for asked := range 3 {
			require.False(t, r.Sure())
			told := r.await()
			pass(time.Second)
			require.Equal(t, "current", told())
			require.Equal(t, asked+1, r.timesAsked())
			r.Pulled(false)
		}
		r.recreate()
		require.False(t, r.Confirm(t.Context()))
	})
}

// Whoever stops waits for so long for the last word, and acknowledges nothing
// without.
func TestClosingTellsThoseThatWait(t *testing.T) {
	for name, silent := range map[string]bool{"answered": false, "silent": true} {
		t.Run(name, func(t *testing.T) {
			run(t, func(r *rig) {
				t := r.t
				r.watch.AskAlways()
				want := "current"
				if silent {
					r.change(func() { r.took = time.Hour })
					want = "not current"
				}
				told, began := r.await(), time.Now()
				r.watch.Close(5 * time.Second)
				require.Equal(t, want, told())
				require.LessOrEqual(t, time.Since(began), 5*time.Second)
				require.Equal(t, "not current", r.await()(), "nobody asks any more")
			})
		})
	}
}

func TestConfirmWaitsNoLongerThanItMay(t *testing.T) {
	run(t, func(r *rig) {
		t := r.t
		require.True(t, r.Confirm(t.Context()))
		require.Zero(t, r.timesAsked(), "it was known")
		r.change(func() { r.took = time.Second })
		r.Doubt()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		require.False(t, r.Confirm(ctx))
		require.True(t, r.Confirm(t.Context()))
	})
}
