package epoch

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Look asks a stream about itself.
type Look func(ctx context.Context, stream string) (*jetstream.StreamInfo, error)

// Watch knows the epochs of streams. Create it with [New].
type Watch struct {
	look Look
	over func(stream string)

	closing context.Context //nolint:containedctx // asking is begun by the first that waits, and outlives it
	close   context.CancelFunc

	mu     sync.Mutex
	epochs map[string]*Epoch // the latest of each stream
	always bool
	closed bool
	asking sync.WaitGroup
}

// New returns a watch. over is called with each epoch that comes to its end
// while messages of it may be in flight.
func New(look Look, over func(stream string)) *Watch {
	w := &Watch{look: look, over: over, epochs: make(map[string]*Epoch)}
	w.closing, w.close = context.WithCancel(context.Background())
	return w
}

// Of returns the epoch of a stream that has just said this of itself. One that
// was before is over then.
func (w *Watch) Of(info *jetstream.StreamInfo) *Epoch {
	w.mu.Lock()
	before := w.epochs[info.Config.Name]
	if before != nil && !before.Over() && before.is(info, 0) {
		w.mu.Unlock()
		return before
	}
	e := newEpoch(w, info)
	w.epochs[info.Config.Name] = e
	w.mu.Unlock()
	if before != nil {
		before.end()
	}
	return e
}

// Heard takes a stream's info that was fetched for another reason. If it does
// not fit the epoch, the stream is asked again.
func (w *Watch) Heard(info *jetstream.StreamInfo) {
	w.mu.Lock()
	e := w.epochs[info.Config.Name]
	w.mu.Unlock()
	if e != nil && !e.Over() && !e.is(info, 0) {
		e.Doubt()
	}
}

// Doubt asks all streams whether they are the same.
func (w *Watch) Doubt() {
	for _, e := range w.current() {
		e.Doubt()
	}
}

// AskAlways makes every later check ask the stream itself: nothing is pulled
// any more, so no open pull shows that it is the same.
func (w *Watch) AskAlways() {
	w.mu.Lock()
	w.always = true
	w.mu.Unlock()
	for _, e := range w.current() {
		e.askAlways()
	}
}

func (w *Watch) current() (epochs []*Epoch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.epochs {
		epochs = append(epochs, e)
	}
	return epochs
}

// Close waits until all callers have their answer, for patience at the most.
func (w *Watch) Close(patience time.Duration) {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	timer := time.AfterFunc(patience, w.close)
	defer timer.Stop()
	w.asking.Wait()
	w.close()
}

// begin begins to ask, unless the watch is closed.
func (w *Watch) begin(ask func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.asking.Go(ask)
	return true
}

const (
	// patience is how long an answer may take.
	patience = 2 * time.Second
	// again is how long after a failure the stream is asked again.
	again = 250 * time.Millisecond
)

// askUntilKnown asks the stream until there is nothing more to find out.
// What has begun to wait while it was asked needs another answer.
func (e *Epoch) askUntilKnown() {
	for {
		waiting, doubts, needed := e.question()
		if !needed {
			return
		}
		asked, highest := time.Now(), e.highest.Load()
		ctx, cancel := context.WithTimeout(e.watch.closing, patience)
		info, err := e.watch.look(ctx, e.stream)
		cancel()
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound), err == nil && !e.is(info, highest):
			e.end()
		case err == nil:
			if e.heard(asked, doubts) {
				e.answer(waiting, true)
			}
		case !e.rest():
			e.giveUp()
			return
		}
	}
}

// rest waits a little, and reports whether to go on.
func (e *Epoch) rest() bool {
	timer := time.NewTimer(again)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-e.watch.closing.Done():
		return false
	}
}

// giveUp answers the callers that still wait with false.
func (e *Epoch) giveUp() {
	e.mu.Lock()
	e.asking = false
	e.mu.Unlock()
	e.answer(math.MaxInt, false)
}
