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

// run is the waking of a group, under way.
type run struct {
	Group

	from, last uint64 // sequence numbers: where to go on, and where to end
	next       time.Time
	failures   int  // in a row
	final      bool // it looks for those only that were parked meanwhile
}

// Run wakes what it is asked for, a page of each group at a time, until ctx ends.
// One goroutine does it all: groups wait for each other, and not for memory.
func (w *Waker) Run(ctx context.Context) {
	runs := make(map[Group]*run)
	for {
		pages := time.NewTimer(untilNext(runs))
		select {
		case <-pages.C:
			w.nextPages(ctx, runs)
		case <-w.requests.added:
			for _, group := range w.requests.takeAll() {
				runs[group] = &run{Group: group}
			}
		case <-ctx.Done():
			pages.Stop()
			return
		}
		pages.Stop()
	}
}

func untilNext(runs map[Group]*run) time.Duration {
	wait := time.Hour
	for _, r := range runs {
		wait = min(wait, max(0, time.Until(r.next)))
	}
	return wait
}

// nextPages lets a page of each group come back whose turn it is.
func (w *Waker) nextPages(ctx context.Context, runs map[Group]*run) {
	for group, r := range runs {
		if time.Now().Before(r.next) {
			continue
		}
		if over := w.step(ctx, r); over {
			delete(runs, group)
		}
	}
}

// step lets the next page of a group come back if there is room for it, and says
// when to go on, or that the run is over.
func (w *Waker) step(ctx context.Context, r *run) (over bool) {
	if !w.path.TakesMore(r.Dataset) {
		r.next = time.Now().Add(pageEvery)
		return false
	}
	switch done, err := w.nextPage(ctx, r); {
	case err != nil:
		return w.fail(r, err)
	case !done:
		r.next, r.failures = time.Now().Add(pageEvery), 0
		return false
	case r.final:
		return true
	default:
		*r = run{Group: r.Group, final: true, next: time.Now().Add(finalAfter)}
		return false
	}
}

// fail has a page tried again that could not be woken, or ends the run.
func (w *Waker) fail(r *run, err error) (over bool) {
	r.failures++
	if r.failures < pageTries && !errors.Is(err, ErrNoDirectGet) {
		r.next = time.Now().Add(finalAfter)
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
		if r.last, err = w.events.Last(ctx); err != nil {
			return false, err
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
