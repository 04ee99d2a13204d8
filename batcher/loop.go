package batcher

import (
	"sync/atomic"
	"time"
)

// signal tells the loop what has become of a batch.
type signal[K comparable, T any] struct {
	kind   signalKind
	flight *flight[K, T]
	turn   *turn[K, T]
	// Of a batch that is done: how many items it had, and how long it took.
	items int
	took  time.Duration
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
	flight  *flight[K, T] // of a rested batch
	granted chan struct{}
	taken   atomic.Bool // granted or withdrawn, whichever came first
}

// loop is the goroutine that owns the lanes.
type loop[K comparable, T any] struct {
	*Batcher[K, T]
	opts Options[K, T]
	lateness[K, T]

	lanes       map[K]*lane[K, T]
	queue       []*turn[K, T]
	waiting     int // items in all lanes
	weight      int // of these
	held        int // waiting or being sent
	inFlight    int // batches being sent, resting ones included
	overflowing int
	draining    bool
	timer       *time.Timer
	armed       bool
	more        bool // waits outside, as of this turn
}

func newLoop[K comparable, T any](b *Batcher[K, T], opts Options[K, T]) *loop[K, T] {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return &loop[K, T]{
		Batcher: b, opts: opts, lateness: lateness[K, T]{after: opts.LateAfter, senders: opts.Senders},
		lanes: make(map[K]*lane[K, T]), timer: timer,
	}
}

func (l *loop[K, T]) run() {
	defer close(l.drained)
	defer l.timer.Stop()
	drain := l.drain
	for !l.draining || !l.idle() {
		select {
		case items := <-l.in:
			l.more = l.moreWaits()
			l.arriveAll(items)
		case s := <-l.signals:
			l.handle(s)
		case <-l.timer.C:
			l.armed, l.more = false, l.moreWaits()
			l.tick()
		case <-drain:
			l.draining, drain = true, nil
			l.tick()
		}
		l.look(time.Now())
		l.start()
		l.arm()
		l.stats.Store(&Stats{Waiting: l.waiting, Lanes: len(l.lanes), Busy: l.busy, Aside: l.aside})
	}
}

// idle reports whether nothing waits and nothing is in flight. Only batches in
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
		at.add(item, time.Now())
		l.waiting++
		l.weight += item.Weight
		l.held++
		l.enqueue(at)
	}
}

func (l *loop[K, T]) handle(s signal[K, T]) {
	switch s.kind {
	case finished, finishedAtRest:
		at := s.flight.lane
		if s.kind == finished {
			l.land(s.flight)
		}
		at.late = !s.flight.answered()
		if !s.flight.rested {
			at.usual = s.took
		}
		l.inFlight--
		l.held -= s.items
		at.inFlight--
		at.sending -= s.items
		at.pace.note(s.items, s.took, time.Now())
		l.enqueue(at)
		l.forget(at)
	case rested:
		s.flight.rested = true
		l.land(s.flight)
	case waits:
		l.queue = append(l.queue, s.turn)
	case overflowFinished:
		l.overflowing--
	}
}

// tick looks for lanes that have waited long enough.
func (l *loop[K, T]) tick() {
	behind := l.behind()
	for _, at := range l.lanes {
		switch {
		case l.congested(at):
			l.overflow(at, 0)
			l.forget(at)
		case l.inTheWay(at, behind):
			l.overflow(at, l.opts.MaxEvents)
		default:
			l.enqueue(at)
		}
	}
}

// behind returns how many items wait outside for room.
func (l *loop[K, T]) behind() int {
	if l.opts.Behind == nil || l.draining {
		return 0
	}
	return l.opts.Behind()
}

// moreWaits reports whether so much more waits outside that lanes gather.
func (l *loop[K, T]) moreWaits() bool { return l.opts.More != nil && l.opts.More() }

// inTheWay reports whether a lane takes the room that others need: see doc.go.
func (l *loop[K, T]) inTheWay(at *lane[K, T], behind int) bool {
	full := at.inFlight >= l.opts.SendersPerLane || at.late
	if behind == 0 || len(at.items) <= l.opts.MaxEvents || !full || 2*at.held() < l.held {
		return false
	}
	return l.outlasts(at, behind)
}

// outlasts reports whether what is behind is more than the lane sends in MaxWait.
func (l *loop[K, T]) outlasts(at *lane[K, T], behind int) bool {
	pace := at.pace.at(time.Now(), at.sending/max(1, at.inFlight)) * float64(at.inFlight)
	return float64(behind) > pace*l.opts.MaxWait.Seconds()
}

// enqueue gives a lane a place in the queue for a sender, if it may send.
func (l *loop[K, T]) enqueue(at *lane[K, T]) {
	if at.queued || !l.ready(at) {
		return
	}
	at.queued = true
	l.queue = append(l.queue, &turn[K, T]{lane: at})
}

// ready reports whether a batch of the lane may go now.
func (l *loop[K, T]) ready(at *lane[K, T]) bool {
	if len(at.items) == 0 || at.late && at.inFlight > 0 && !l.draining ||
		at.inFlight >= l.opts.SendersPerLane && !l.mayBorrow(at) {
		return false
	}
	wait := l.patience(at)
	return wait == 0 || at.full(l.opts.Config) || l.draining || l.crowded() || at.age(time.Now()) >= wait
}

// patience is how long an item of a lane waits for others.
func (l *loop[K, T]) patience(at *lane[K, T]) time.Duration {
	if at.inFlight == 0 && !l.more {
		return l.opts.Gather
	}
	return max(l.opts.Linger, l.opts.Gather)
}

// mayBorrow reports whether a lane may have one more sender than its share: for a
// full batch, while many are idle, and others have the room to pass by.
func (l *loop[K, T]) mayBorrow(at *lane[K, T]) bool {
	return at.inFlight < l.opts.SendersPerLaneMax && at.full(l.opts.Config) && 4*l.busy < 3*l.opts.Senders &&
		l.leavesRoom(at)
}

// leavesRoom reports whether one more batch of the lane leaves half of the room to
// others, or nobody waits for it for long.
func (l *loop[K, T]) leavesRoom(at *lane[K, T]) bool {
	return at.sending+l.opts.MaxEvents <= l.opts.MaxWaiting || !l.outlasts(at, l.behind())
}

// crowded reports whether so much waits that lingering for more would be wrong:
// half-filled batches could otherwise hold all that may be in flight, and wait
// for each other.
func (l *loop[K, T]) crowded() bool {
	most := l.opts.MaxWaitingBytes
	return l.waiting >= l.opts.MaxWaiting || most > 0 && l.weight >= most
}

func (l *loop[K, T]) congested(at *lane[K, T]) bool {
	return !l.draining && l.crowded() && len(at.items) > 0 && at.age(time.Now()) >= l.opts.MaxWait
}

// start serves the queue while senders are free.
func (l *loop[K, T]) start() {
	for l.busy < l.opts.Senders {
		next := l.next()
		if next == nil {
			return
		}
		if next.flight != nil {
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

// next takes the first out of the queue that may have a sender; nil if none may.
func (l *loop[K, T]) next() *turn[K, T] {
	for i, next := range l.queue {
		if !l.draining && !l.mayFly(next.lane) {
			continue
		}
		copy(l.queue[1:], l.queue[:i]) // those passed over keep their order
		l.queue = l.queue[1:]
		return next
	}
	return nil
}

func (l *loop[K, T]) grant(next *turn[K, T]) {
	if next.taken.CompareAndSwap(false, true) {
		l.launch(next.flight, time.Now())
		close(next.granted)
	}
}

func (l *loop[K, T]) send(at *lane[K, T]) {
	before, begun := at.weight, time.Now()
	items := at.cut(l.opts.Config)
	l.weight -= before - at.weight
	batch := &Batch[K, T]{Lane: at.key, Items: items, owner: l.Batcher, flight: &flight[K, T]{lane: at}}
	if at.inFlight == 0 {
		at.pace.begin(begun)
	}
	l.launch(batch.flight, begun)
	l.waiting -= len(items)
	l.inFlight++
	at.inFlight++
	at.sending += len(items)
	go func() {
		kind := finished
		l.opts.Send(batch)
		if batch.resting {
			kind = finishedAtRest
		}
		l.signals <- signal[K, T]{kind: kind, flight: batch.flight, items: len(items), took: time.Since(begun)}
	}()
}

// overflow moves what waits in a lane aside, but for the oldest items, as many
// as are to be kept.
func (l *loop[K, T]) overflow(at *lane[K, T], keep int) {
	before := at.weight
	items := at.cutFrom(keep)
	l.weight -= before - at.weight
	l.waiting -= len(items)
	l.held -= len(items)
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

// arm sets the timer for the next look at lingering lanes and late batches, while
// anybody waits.
func (l *loop[K, T]) arm() {
	if l.armed || l.waiting == 0 && len(l.queue) == 0 {
		return
	}
	l.armed = true
	wait := l.opts.Linger
	if gather := l.opts.Gather; gather > 0 {
		wait = min(wait, gather)
	}
	l.timer.Reset(max(wait/8, time.Millisecond))
}
