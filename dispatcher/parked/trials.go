package parked

import (
	"context"
	"math"
	"time"
)

// TryOne lets the first event of a group come back, to find out whether its
// dataset may be sent for again.
func (w *Waker) TryOne(ctx context.Context, group Group) error {
	const few = 10
	end, err := w.beginReading(ctx)
	if err != nil {
		return err
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for from := uint64(1); ; {
		page, err := w.events.Read(ctx, group.Dataset, from, few)
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			woken, err := w.wakeMeant(ctx, group, page[i].Sequence, page[i:i+1])
			if err != nil || woken > 0 {
				return err
			}
		}
		from = page[len(page)-1].Sequence + 1
	}
}

// TryFew lets a few events of a group come back, for a dataset of which every
// event tried has been refused: the oldest, the newest, and some between them, so
// that no producer's events are all that is tried. Those that have been refused
// alone come last in line: they are tried again when all others were.
func (w *Waker) TryFew(ctx context.Context, group Group, most int) error {
	end, err := w.beginReading(ctx)
	if err != nil {
		return err
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, pageTime)
	defer cancel()
	meant, err := w.sample(ctx, group, most)
	if err != nil {
		return err
	}
	if untried := notTriedAlone(meant); len(untried) > 0 {
		meant = untried
	}
	few := make([]Waiting, 0, most)
	for _, at := range Spread(len(meant), most) {
		few = append(few, meant[at])
	}
	_, err = w.wakeMeant(ctx, group, math.MaxUint64, few)
	return err
}

func notTriedAlone(sample []Waiting) (untried []Waiting) {
	for i := range sample {
		if !sample[i].TriedAlone() {
			untried = append(untried, sample[i])
		}
	}
	return untried
}

// sample reads up to most events of a group, a few at each of several places of
// the stream, evenly from the oldest of the dataset's to the newest, in their
// order.
func (w *Waker) sample(ctx context.Context, group Group, most int) (sample []Waiting, err error) {
	last, err := w.events.Newest(ctx, group.Dataset)
	if err != nil || last == 0 {
		return nil, err
	}
	from, first := uint64(1), uint64(0)
	for i := range uint64(most) {
		page, err := w.events.Read(ctx, group.Dataset, from, most)
		if err != nil || len(page) == 0 {
			return sample, err
		}
		if first == 0 {
			first = page[0].Sequence
		}
		for _, e := range page {
			if group.Covers(e.Reason()) {
				sample = append(sample, e)
			}
		}
		read := page[len(page)-1].Sequence
		if read >= last {
			break
		}
		// Either the next place, or, where few events are left, the next event.
		from = max(read+1, first+(last-first)*(i+1)/uint64(max(1, most-1)))
	}
	return sample, nil
}

// Spread chooses up to most of n places: the last, the first, and others evenly
// between them.
func Spread(n, most int) (places []int) {
	if n <= 0 {
		return nil
	}
	if most = min(n, most); most == 1 {
		return []int{n - 1}
	}
	places = append(places, n-1)
	for i := range most - 1 {
		places = append(places, i*(n-1)/(most-1))
	}
	return places
}
