package epoch

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
)

// Lasts is how long a stream is taken for the same after it was last heard of.
// A pull that waits for as long as it may is followed by the next within that.
const Lasts = 2 * time.Second

const forever = math.MaxInt64

// Epoch is one life of a stream, from its creation to its deletion.
type Epoch struct {
	// ID names it in claims and in the ids of messages.
	ID dedupe.Epoch

	watch   *Watch
	stream  string
	created time.Time
	highest atomic.Uint64 // number of a message that it has stored

	// sureUntil is until when, in Unix nanoseconds, it may be taken for going
	// on. It changes under the lock and is read without.
	sureUntil atomic.Int64
	over      atomic.Bool

	mu       sync.Mutex
	doubts   int  // so far
	resolved int  // of these
	pulling  bool // a pull waits, and others have without a break
	always   bool // the stream's own word is needed each time
	asking   bool // it is about to be asked
	waiting  []func(current bool)
}

func newEpoch(w *Watch, info *jetstream.StreamInfo) *Epoch {
	name := info.Config.Name
	e := &Epoch{
		watch: w, stream: name, created: info.Created, always: w.always,
		ID: dedupe.NewEpoch(name, info.Created.UnixNano()),
	}
	e.heard(time.Now(), 0)
	return e
}

// Sure reports whether the stream is known to be the same. It costs next to
// nothing.
func (e *Epoch) Sure() bool {
	until := e.sureUntil.Load()
	return until == forever || time.Now().UnixNano() < until
}

// Over reports whether the stream is known to be another, or gone.
func (e *Epoch) Over() bool { return e.over.Load() }

// Pulling is called when a pull begins to wait at a consumer of the stream.
func (e *Epoch) Pulling() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.Sure() && !e.always {
		e.pulling = true
		e.sureUntil.Store(forever)
	}
}

// Pulled is called when the pull has ended, with whether it failed.
func (e *Epoch) Pulled(failed bool) {
	if failed {
		e.Doubt()
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pulling {
		e.pulling = false
		e.sureUntil.Store(time.Now().Add(Lasts).UnixNano())
	}
}

// Stored is told the number of a message that the stream has had, by one caller
// at a time.
func (e *Epoch) Stored(sequence uint64) {
	if sequence > e.highest.Load() {
		e.highest.Store(sequence)
	}
}

// Doubt asks the stream whether it is the same. Until it answers, the epoch is
// not known to go on.
func (e *Epoch) Doubt() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.doubts++
	e.pulling = false
	e.sureUntil.Store(0)
	e.ask()
}

// Await calls then when the stream has said whether it is the same. When the
// watch is closed without an answer, it calls then(false).
func (e *Epoch) Await(then func(current bool)) {
	e.mu.Lock()
	e.waiting = append(e.waiting, then)
	asked := e.ask()
	e.mu.Unlock()
	if !asked {
		e.answer(math.MaxInt, false)
	}
}

// Confirm reports whether the stream is the same, if it says so before ctx ends.
func (e *Epoch) Confirm(ctx context.Context) bool {
	if e.Sure() {
		return true
	}
	answered := make(chan bool, 1)
	e.Await(func(current bool) { answered <- current })
	select {
	case current := <-answered:
		return current
	case <-ctx.Done():
		return false
	}
}

// askAlways makes every later check ask the stream itself.
func (e *Epoch) askAlways() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.always, e.pulling = true, false
	e.sureUntil.Store(0)
}

// ask sees to it that the stream is asked, and reports whether that can be. The
// caller has the lock.
func (e *Epoch) ask() bool {
	if !e.Over() && !e.asking {
		e.asking = e.watch.begin(e.askUntilKnown)
	}
	return !e.Over() && e.asking
}

// question returns whether the stream has to be asked, for how many callers,
// and how many doubts there have been. If not, the asking may end. When every
// check asks anyway, a doubt without a caller needs no question.
func (e *Epoch) question() (waiting, doubts int, needed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asking = !e.Over() && (len(e.waiting) > 0 || e.doubts > e.resolved && !e.always)
	return len(e.waiting), e.doubts, e.asking
}

// is reports whether this is what the stream says of itself: that it is as old,
// and has at least the messages that have come from it. A server that was set
// back gives the same numbers to others.
func (e *Epoch) is(info *jetstream.StreamInfo, highest uint64) bool {
	return info.Created.Equal(e.created) && info.State.LastSeq >= highest
}

// heard notes that the stream was the same when it was asked, after that many
// doubts. It reports whether there have been none since.
func (e *Epoch) heard(asked time.Time, doubts int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.resolved = doubts
	if e.doubts > doubts || e.Over() {
		return false
	}
	if !e.always && !e.pulling {
		e.sureUntil.Store(asked.Add(Lasts).UnixNano())
	}
	return true
}

// end ends it.
func (e *Epoch) end() {
	e.mu.Lock()
	first := !e.over.Swap(true)
	e.sureUntil.Store(0)
	e.pulling = false
	e.mu.Unlock()
	if first {
		e.watch.over(e.stream)
	}
	e.answer(math.MaxInt, false)
}

// answer gives the word to the first n that wait.
func (e *Epoch) answer(most int, current bool) {
	e.mu.Lock()
	most = min(most, len(e.waiting))
	told := e.waiting[:most:most]
	e.waiting = e.waiting[most:]
	e.mu.Unlock()
	for _, then := range told {
		then(current)
	}
}
