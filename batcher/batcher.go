package batcher

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Config says when a batch is full.
type Config struct {
	// MaxEvents is how many items a batch holds at the most.
	MaxEvents int `yaml:"max_events"`
	// MaxBytes is how large a batch may become, overhead included.
	MaxBytes int `yaml:"max_bytes"`
	// Linger is how long an item may wait for others while an earlier batch
	// of its lane is in flight, or while more waits outside than there is room
	// for. It is checked eight times over its length.
	Linger time.Duration `yaml:"linger"`
	// Gather is how long an item waits for others in a lane that has nothing in
	// flight: it bounds how many batches a lane sends in a time. 0: it goes at
	// once. If it is longer than Linger, busy lanes wait for as long.
	Gather time.Duration `yaml:"gather"`
}

// DefaultConfig returns the settings a careful operator would leave alone.
func DefaultConfig() Config {
	return Config{MaxEvents: 1000, MaxBytes: 900_000, Linger: 250 * time.Millisecond}
}

// Validate reports every setting that cannot work, joined.
func (c Config) Validate() error {
	var faults []error
	if c.MaxEvents < 1 {
		faults = append(faults, fmt.Errorf("max_events: %d is less than 1", c.MaxEvents))
	}
	if c.MaxBytes < 10_000 || c.MaxBytes > 10_000_000 {
		faults = append(faults, fmt.Errorf("max_bytes: %d is not between 10KB and 10MB", c.MaxBytes))
	}
	if c.Linger < 0 || c.Linger > time.Minute {
		faults = append(faults, fmt.Errorf("linger: %s is not between 0s and 1m", c.Linger))
	}
	if c.Gather < 0 || c.Gather > time.Minute {
		faults = append(faults, fmt.Errorf("gather: %s is not between 0s and 1m", c.Gather))
	}
	return errors.Join(faults...)
}

// Options are a batcher's surroundings.
type Options[K comparable, T any] struct {
	Config

	// Senders bounds the batches in flight of all lanes together, but for as many
	// that are late.
	Senders int
	// SendersPerLane bounds the batches in flight of one lane, but for those that
	// it borrows.
	SendersPerLane int
	// SendersPerLaneMax bounds them with the senders that a lane borrows, for full
	// batches, while a quarter of all senders is idle. 0 is SendersPerLane.
	SendersPerLaneMax int
	// LateAfter is for how long a batch is sent, or twice as long as its lane's
	// batch before, until it is late; see doc.go. 0: none ever is.
	LateAfter time.Duration
	// MaxWaiting is how many items may wait, in all lanes, before batches go
	// without lingering and congested lanes overflow; MaxWaitingBytes is how much
	// they may weigh. 0: as much as they do.
	MaxWaiting, MaxWaitingBytes int
	// MaxWait is how long a lane's oldest item waits before the lane counts
	// as congested; and how long what is behind may have to wait for a lane.
	MaxWait time.Duration
	// Behind returns how many items wait outside until there is room for them; 0
	// while there is. nil: none ever do.
	Behind func() int

	// More reports whether so much more waits outside that it would fill the room:
	// lanes gather then, even those with nothing in flight. nil: it never does.
	More func() bool

	// Overhead returns what a batch of this lane weighs beside its items.
	Overhead func(lane K) int
	// Send carries a batch to its end. It runs in a goroutine of its own.
	Send func(*Batch[K, T])
	// Overflow takes what waited in a congested lane. It runs in a goroutine
	// of its own.
	Overflow func(lane K, items []T)
}

// Batcher is a set of lanes. Its methods are safe for concurrent use.
type Batcher[K comparable, T any] struct {
	in      chan []Item[K, T]
	signals chan signal[K, T]
	drain   chan struct{}
	drained chan struct{}
	stats   atomic.Pointer[Stats]
}

// New starts a batcher. It runs until [Batcher.Drain].
func New[K comparable, T any](opts Options[K, T]) *Batcher[K, T] {
	b := &Batcher[K, T]{
		in:      make(chan []Item[K, T], 256),
		signals: make(chan signal[K, T]),
		drain:   make(chan struct{}),
		drained: make(chan struct{}),
	}
	b.stats.Store(&Stats{})
	opts.SendersPerLaneMax = max(opts.SendersPerLaneMax, opts.SendersPerLane)
	go newLoop(b, opts).run()
	return b
}

// Item is something to be sent in a batch of its lane.
type Item[K comparable, T any] struct {
	Lane  K
	Value T
	// Size is what it adds to a batch, in bytes.
	Size int
	// Weight is what it takes of the memory for items that wait, in bytes.
	Weight int
}

// Add puts items into their lanes, together: none is sent before all have
// arrived. It may be called from within Send and Overflow, but not once
// [Batcher.Drain] has returned.
func (b *Batcher[K, T]) Add(items ...Item[K, T]) { b.in <- items }

// Stats is a look at a batcher in passing.
type Stats struct {
	Waiting int // items waiting in all lanes
	Lanes   int // lanes that have something to do
	Busy    int // senders in use
	Aside   int // late batches beside them
}

// Stats returns how things stood a moment ago.
func (b *Batcher[K, T]) Stats() Stats { return *b.stats.Load() }

// Drain sends everything that waits, without lingering, and returns when every
// Send and Overflow has. It must be called once, when nobody but Send and
// Overflow adds any more.
func (b *Batcher[K, T]) Drain() {
	close(b.drain)
	<-b.drained
}

// Batch is a batch in the hands of Send.
type Batch[K comparable, T any] struct {
	Lane  K
	Items []T

	owner   *Batcher[K, T]
	flight  *flight[K, T]
	resting bool
}

// Rest waits, without occupying a sender meanwhile: other lanes may send. The
// place in the batch's own lane stays taken. It returns early, with the
// context's error, when ctx ends; nothing may be sent after that.
func (b *Batch[K, T]) Rest(ctx context.Context, wait time.Duration) error {
	b.resting = true
	b.owner.signals <- signal[K, T]{kind: rested, flight: b.flight}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	turn := &turn[K, T]{lane: b.flight.lane, flight: b.flight, granted: make(chan struct{})}
	b.owner.signals <- signal[K, T]{kind: waits, turn: turn}
	select {
	case <-turn.granted:
	case <-ctx.Done():
		if turn.taken.CompareAndSwap(false, true) {
			return ctx.Err() // withdrawn before a sender was found
		}
		<-turn.granted
	}
	b.resting = false
	return ctx.Err()
}
