package dispatcher

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
)

// triedAlone reports whether Meta has refused the event alone.
func (w *waiter) triedAlone() bool { return w.message.Header.Get(header.RefusedAlone) != "" }

// callFewBack lets a few of the events meant come back, for a dataset of which
// every event tried has been refused: the oldest, the newest, and some between
// them, so that no producer's events are all that is tried. Those that have been
// refused alone come last in line: they are tried again when all others were.
func (d *Dispatcher) callFewBack(ctx context.Context, what recall) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	sample, err := d.sample(ctx, what)
	if err != nil {
		return err
	}
	meant := slices.DeleteFunc(slices.Clone(sample), func(w waiter) bool { return w.triedAlone() })
	if len(meant) == 0 {
		meant = sample
	}
	few := make([]waiter, 0, breaker.Handful)
	for _, at := range spread(len(meant), breaker.Handful) {
		few = append(few, meant[at])
	}
	_, err = d.hastenAll(ctx, what, math.MaxUint64, few)
	return err
}

// sample reads a few waiting events at each of some places of the parked stream,
// evenly from the oldest of the dataset's to the newest, in their order.
func (d *Dispatcher) sample(ctx context.Context, what recall) (sample []waiter, err error) {
	last, err := d.newestWaiting(ctx, what.dataset)
	if err != nil || last == 0 {
		return nil, err
	}
	from, first := uint64(1), uint64(0)
	for i := range uint64(breaker.Handful) {
		page, err := d.readWaiting(ctx, what.dataset, from, breaker.Handful)
		if err != nil || len(page) == 0 {
			return sample, err
		}
		if first == 0 {
			first = page[0].sequence
		}
		for _, w := range page {
			if what.covers(w.reason()) {
				sample = append(sample, w)
			}
		}
		read := page[len(page)-1].sequence
		if read >= last {
			break
		}
		// Either the next place, or, where few events are left, the next event.
		from = max(read+1, first+(last-first)*(i+1)/(breaker.Handful-1))
	}
	return sample, nil
}
