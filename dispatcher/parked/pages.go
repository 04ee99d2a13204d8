package parked

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

const (
	// pageEvery is how long after one page of a group the waker looks whether the
	// next may come.
	pageEvery = 50 * time.Millisecond
	// pageTime is how long one page may take.
	pageTime = 15 * time.Second
	// pageTries is how often a page is tried that cannot be woken.
	pageTries = 5
	// finalAfter is how long after the last page the waker looks for events that
	// were on their way to be parked when the dataset recovered; and how long a
	// page waits that could not be woken.
	finalAfter = 5 * time.Second
)

// Run wakes what it is asked for, a page of each group at a time, until ctx ends.
// One goroutine does it all: groups wait for each other, and not for memory.
func (w *Waker) Run(ctx context.Context) {
	runs := newRuns()
	var held time.Time // until then it is nobody's turn
	turn := time.NewTimer(time.Hour)
	defer turn.Stop()
	for {
		turn.Reset(max(runs.untilNext(), time.Until(held)))
		select {
		case <-turn.C:
			if !w.path.HasRoom() {
				held = time.Now().Add(pageEvery)
			} else if next := runs.first(); next != nil {
				w.step(ctx, runs, next)
			}
		case <-w.requests.added:
			for _, group := range w.requests.takeAll() {
				runs.begin(group)
			}
		case <-ctx.Done():
			return
		}
	}
}

// step lets the next page of a group come back if its dataset takes it, and has
// the run go on later, or end.
func (w *Waker) step(ctx context.Context, runs *runs, r *run) {
	if !w.path.TakesMore(r.Dataset) {
		runs.putOff(r, pageEvery)
		return
	}
	switch done, err := w.nextPage(ctx, r); {
	case err != nil && w.fail(r, err), done && r.final:
		runs.end(r)
	case err != nil:
		runs.putOff(r, finalAfter)
	case !done:
		r.failures = 0
		runs.putOff(r, pageEvery)
	default:
		r.from, r.last, r.failures, r.final, r.asked = 0, 0, 0, true, time.Now().Add(finalAfter)
		runs.putOff(r, finalAfter)
	}
}

// fail counts that a page could not be woken. If it is not to be tried again, it
// says so in the log, and the run is over.
func (w *Waker) fail(r *run, err error) (over bool) {
	r.failures++
	if r.failures < pageTries && !errors.Is(err, ErrNoDirectGet) {
		return false
	}
	w.log.Warn("parked events could not be called back; they come back at their own time",
		zap.String("dataset", r.Dataset), zap.Error(err))
	return true
}

// nextPage lets a page of events come back, unless the dataset is in trouble
// again. done says that that was all.
func (w *Waker) nextPage(ctx context.Context, r *run) (done bool, err error) {
	if w.path.Blocked(r.Dataset) {
		return true, nil
	}
	end, err := w.beginReading(ctx)
	if err != nil {
		return false, err
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, pageTime)
	defer cancel()
	if r.last == 0 {
		// What is parked from now on is left alone: there is a reason for it.
		if r.last, err = w.lastSince(ctx, r.asked); err != nil || r.last == 0 {
			return true, err
		}
	}
	for woken := 0; woken == 0; { // a page without any of those meant is passed over
		page, err := w.events.Read(ctx, r.Dataset, r.from, Page)
		if err != nil || len(page) == 0 {
			return true, err
		}
		if woken, err = w.wakeMeant(ctx, r.Group, r.last, page); err != nil {
			return false, err
		}
		if r.from = page[len(page)-1].Sequence + 1; r.from > r.last {
			return true, nil
		}
	}
	return false, nil
}

// lastSince returns the number of the last event that was parked, as of some time
// not before that one; 0 if none waits. Groups that are asked for together share a
// look at the stream.
func (w *Waker) lastSince(ctx context.Context, asked time.Time) (last uint64, err error) {
	if !w.looked.at.IsZero() && !w.looked.at.Before(asked) {
		return w.looked.last, nil
	}
	at := time.Now()
	if last, err = w.events.Last(ctx); err == nil {
		w.looked.at, w.looked.last = at, last
	}
	return last, err
}
