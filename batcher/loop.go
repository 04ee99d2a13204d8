package batcher

import (
	"sync/atomic"
	"time"
)

// signal tells the loop what has become of a batch.
type signal[K comparable, T any] struct {
	kind signalKind
	lane *lane[K, T]
	turn *turn[K, T]
}

type signalKind uint8

const (
	finished         signalKind = iota // a batch is done and held a sender
	finishedAtRest                     // a batch is done and held none
	rested                             // a batch gives its sender up
	waits                              // a rested batch wants a sender again
	overflowFinished                   // Overflow has returned
)

// turn is a place in the queue for a sender: a lane's, or a rested batch's.
type turn[K comparable, T any] struct {
	lane    *lane[K, T]
	granted chan struct{}
	taken   atomic.Bool // granted or withdrawn, whichever came first
}

// loop is the goroutine that owns the lanes.
type loop[K comparable, T any] struct {
	*Batcher[K, T]
	opts Options[K, T]

	lanes       map[K]*lane[K, T]
	queue       []*turn[K, T]
	waiting     int // items in all lanes
	busy        int // senders in use
	inFlight    int // batches being sent, resting ones included
	overflowing int
	draining    bool
	timer       *time.Timer
	armed       bool
}

func newLoop[K comparable, T any](b *Batcher[K, T], opts Options[K, T]) *loop[K, T] {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return &loop[K, T]{Batcher: b, opts: opts, lanes: make(map[K]*lane[K, T]), timer: timer}
}

func (l *loop[K, T]) run() {
	defer close(l.drained)
	defer l.timer.Stop()
	drain := l.drain
	for !l.draining || !l.idle() {
		select {
		case items := <-l.in:
			l.arriveAll(items)
		case s := <-l.signals:
			l.handle(s)
		case <-l.timer.C:
			l.armed = false
			l.tick()
		case <-drain:
			l.draining, drain = true, nil
			l.tick()
		}
		l.start()
		l.arm()
		l.stats.Store(&Stats{Waiting: l.waiting, Lanes: len(l.lanes), Busy: l.busy})
	}
}

// idle tells that nothing waits and nothing is in flight. Only batches in
// flight may still add, so nothing can arrive any more.
func (l *loop[K, T]) idle() bool {
	return len(l.in) == 0 && l.waiting == 0 && l.inFlight == 0 && l.overflowing == 0
}

// arriveAll takes in what is at the door before anything is cut, so that a
// burst into an idle lane becomes one batch rather than one item and a rest.
func (l *loop[K, T]) arriveAll(items []Item[K, T]) {
	l.arrive(items)
	for range len(l.in) {
		l.arrive(<-l.in)
	}
}

func (l *loop[K, T]) arrive(items []Item[K, T]) {
	for _, item := range items {
		at := l.lanes[item.Lane]
		if at == nil {
			at = &lane[K, T]{key: item.Lane, overhead: l.opts.Overhead(item.Lane)}
			l.lanes[item.Lane] = at
		}
		at.add(item.Value, item.Size, time.Now())
		l.waiting++
		l.enqueue(at)
	}
}

func (l *loop[K, T]) handle(s signal[K, T]) {
	switch s.kind {
	case finished, finishedAtRest:
		if s.kind == finished {
			l.busy--
		}
		l.inFlight--
		s.lane.inFlight--
		l.enqueue(s.lane)
		l.forget(s.lane)
	case rested:
		l.busy--
	case waits:
		l.queue = append(l.queue, s.turn)
	case overflowFinished:
		l.overflowing--
	}
}

// tick looks for lanes that have waited long enough.
func (l *loop[K, T]) tick() {
	for _, at := range l.lanes {
		if l.congested(at) {
			l.overflow(at)
			l.forget(at)
			continue
		}
		l.enqueue(at)
	}
}

// enqueue gives a lane a place in the queue for a sender, if it may send.
func (l *loop[K, T]) enqueue(at *lane[K, T]) {
	if at.queued || !l.ready(at) {
		return
	}
	at.queued = true
	l.queue = append(l.queue, &turn[K, T]{lane: at})
}

// ready tells whether a batch of the lane may go now.
func (l *loop[K, T]) ready(at *lane[K, T]) bool {
	if len(at.items) == 0 || at.inFlight >= l.opts.SendersPerLane {
		return false
	}
	return at.inFlight == 0 || at.full(l.opts.Config) || l.draining || l.crowded() ||
		at.age(time.Now()) >= l.opts.Linger
}

// crowded tells that so much waits that lingering for more would be wrong:
// half-filled batches could otherwise hold all that may be in hand, and wait
// for each other.
func (l *loop[K, T]) crowded() bool { return l.waiting >= l.opts.MaxWaiting }

func (l *loop[K, T]) congested(at *lane[K, T]) bool {
	return !l.draining && l.crowded() && len(at.items) > 0 && at.age(time.Now()) >= l.opts.MaxWait
}

// start serves the queue while senders are free.
func (l *loop[K, T]) start() {
	for len(l.queue) > 0 && l.busy < l.opts.Senders {
		next := l.queue[0]
		l.queue = l.queue[1:]
		if next.lane == nil {
			l.grant(next)
			continue
		}
		next.lane.queued = false
		if l.ready(next.lane) {
			l.send(next.lane)
			l.enqueue(next.lane)
		}
		l.forget(next.lane)
	}
}

func (l *loop[K, T]) grant(next *turn[K, T]) {
	if next.taken.CompareAndSwap(false, true) {
		l.busy++
		close(next.granted)
	}
}

func (l *loop[K, T]) send(at *lane[K, T]) {
	batch := &Batch[K, T]{Lane: at.key, Items: at.cut(l.opts.Config), owner: l.Batcher, from: at}
	l.waiting -= len(batch.Items)
	l.busy++
	l.inFlight++
	at.inFlight++
	go func() {
		kind := finished
		l.opts.Send(batch)
		if batch.resting {
			kind = finishedAtRest
		}
		l.signals <- signal[K, T]{kind: kind, lane: batch.from}
	}()
}

func (l *loop[K, T]) overflow(at *lane[K, T]) {
	items := at.cutAll()
	l.waiting -= len(items)
	l.overflowing++
	go func() {
		l.opts.Overflow(at.key, items)
		l.signals <- signal[K, T]{kind: overflowFinished}
	}()
}

// forget drops a lane that has nothing to do.
func (l *loop[K, T]) forget(at *lane[K, T]) {
	if len(at.items) == 0 && at.inFlight == 0 && !at.queued {
		delete(l.lanes, at.key)
	}
}

// arm sets the timer for the next look at lingering lanes, while there are any.
func (l *loop[K, T]) arm() {
	if l.armed || l.waiting == 0 {
		return
	}
	l.armed = true
	l.timer.Reset(max(l.opts.Linger/8, time.Millisecond))
}
