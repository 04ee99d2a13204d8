package batcher

import (
	"slices"
	"time"
)

// lane gathers the items of one key.
type lane[K comparable, T any] struct {
	key      K
	overhead int
	items    []waiting[T]
	bytes    int           // of items
	weight   int           // of items
	inFlight int           // batches being sent, resting ones included
	sending  int           // items in these
	pace     pace          // of one sender
	queued   bool          // stands in the queue for a sender
	late     bool          // a batch of it was late, and none has come back in time since
	usual    time.Duration // that a batch takes, as far as is known
}

// waiting is an item that waits, since when, and what it weighs.
type waiting[T any] struct {
	item   T
	size   int
	weight int
	since  time.Time
}

func (l *lane[K, T]) add(item Item[K, T], now time.Time) {
	l.items = append(l.items, waiting[T]{item: item.Value, size: item.Size, weight: item.Weight, since: now})
	l.bytes += item.Size
	l.weight += item.Weight
}

// full reports whether the next batch can't take more.
func (l *lane[K, T]) full(cfg Config) bool {
	return len(l.items) >= cfg.MaxEvents || l.overhead+l.bytes >= cfg.MaxBytes
}

// age returns how long the oldest item has waited.
func (l *lane[K, T]) age(now time.Time) time.Duration {
	if len(l.items) == 0 {
		return 0
	}
	return now.Sub(l.items[0].since)
}

// cut takes the next batch off the lane: the oldest items, as many as fit, and
// at least one.
func (l *lane[K, T]) cut(cfg Config) []T {
	batch := make([]T, 0, min(len(l.items), cfg.MaxEvents))
	size := l.overhead
	for _, w := range l.items {
		size += w.size
		if len(batch) > 0 && (size > cfg.MaxBytes || len(batch) == cfg.MaxEvents) {
			break
		}
		batch = append(batch, w.item)
		l.bytes -= w.size
		l.weight -= w.weight
	}
	l.items = l.items[len(batch):]
	if len(l.items) == 0 {
		l.items = nil // lets the memory go with the batch
	}
	return batch
}

// cutFrom takes everything off the lane but the oldest items, as many as are to
// be kept.
func (l *lane[K, T]) cutFrom(keep int) []T {
	items := make([]T, 0, len(l.items)-keep)
	for _, w := range l.items[keep:] {
		items = append(items, w.item)
		l.bytes -= w.size
		l.weight -= w.weight
	}
	l.items = slices.Clone(l.items[:keep])
	return items
}

// held is how many items the lane has, waiting and being sent.
func (l *lane[K, T]) held() int { return len(l.items) + l.sending }
