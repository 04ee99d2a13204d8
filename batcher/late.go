package batcher

import (
	"slices"
	"time"
)

// flight is a batch that is being sent, as the loop sees it.
type flight[K comparable, T any] struct {
	lane    *lane[K, T]
	since   time.Time // it has had its sender
	overdue bool      // since then it has become late
	doubted bool      // its sender is one of those that late lanes have
	aside   bool      // it has given its sender up
	rested  bool      // at least once
}

// answered reports of a batch that has come back whether its lane answers: at
// once, or as late as it does at first. A batch that has rested because it was
// late, and is late again, has been given up.
func (f *flight[K, T]) answered() bool { return !f.overdue || !f.rested }

// lateness keeps track of who has a sender, and for how long.
type lateness[K comparable, T any] struct {
	after   time.Duration
	senders int

	flying  []*flight[K, T]
	busy    int // senders in use
	doubted int // of these, by batches of lanes that are late
	aside   int // batches that are late and hold none
}

// mayFly reports whether a lane may have another sender, if there is one: lanes
// that are late have half of all.
func (l *lateness[K, T]) mayFly(at *lane[K, T]) bool { return !at.late || 2*l.doubted < l.senders }

// launch gives a batch a sender.
func (l *lateness[K, T]) launch(f *flight[K, T], now time.Time) {
	f.since, f.overdue, f.aside, f.doubted = now, false, false, false
	l.flying = append(l.flying, f)
	l.busy++
	if f.lane.late {
		l.doubt(f)
	}
}

func (l *lateness[K, T]) doubt(f *flight[K, T]) {
	if !f.doubted {
		f.doubted = true
		l.doubted++
	}
}

// land takes its sender back, if it still has it.
func (l *lateness[K, T]) land(f *flight[K, T]) {
	l.flying = slices.DeleteFunc(l.flying, func(other *flight[K, T]) bool { return other == f })
	if f.aside {
		l.aside--
		return
	}
	l.busy--
	if f.doubted {
		l.doubted--
	}
}

// look finds what is late and takes its sender away, while not too many stand
// aside.
func (l *lateness[K, T]) look(now time.Time) {
	if l.after == 0 {
		return
	}
	for _, f := range l.flying {
		usual := min(2*f.lane.usual, 5*l.after) // a lane that is always late has no other
		if f.aside || now.Sub(f.since) < max(l.after, usual) {
			continue
		}
		f.overdue, f.lane.late = true, true
		l.doubt(f)
		if l.aside < l.senders {
			f.aside = true
			l.aside++
			l.doubted--
			l.busy--
		}
	}
}
