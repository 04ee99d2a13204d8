// Package lease renews the leases of messages in flight: every third of AckWait
// it reports them to the server as in progress, so that they are not
// redelivered.
//
// A lease is renewed only if the server is known to have got the word: after
// the signs of life, the connection is flushed, and the lease counts from
// before they were sent. It is never renewed once it has lapsed, because the
// message may have been redelivered by then, nor when its stream is another.
//
// Everything here is safe for concurrent use.
package lease

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Message is what a lease is on: a JetStream message.
type Message interface {
	// InProgress renews the message's lease (+WPI). It returns before the server
	// has heard it.
	InProgress() error
}

// Stream is the stream that a message came from.
type Stream interface {
	// Confirm reports whether the stream is still the one it was.
	Confirm(ctx context.Context) bool
	// Over reports whether it is known not to be.
	Over() bool
}

// Lease is the time within which the server does not redeliver a message.
type Lease struct {
	message Message
	stream  Stream
	until   atomic.Int64 // Unix nanoseconds
}

func (l *Lease) left(now time.Time) time.Duration {
	return time.Duration(l.until.Load() - now.UnixNano())
}

// Lapsed reports whether the server may have redelivered the message.
func (l *Lease) Lapsed(now time.Time) bool { return l.left(now) <= 0 }

// Short reports whether the message may be redelivered within least. A message
// whose stream is gone is not redelivered.
func (l *Lease) Short(now time.Time, least time.Duration) bool {
	return l.left(now) < least && !l.stream.Over()
}

// Keeper renews leases.
type Keeper struct {
	flush   func(ctx context.Context) error
	ackWait time.Duration

	mu     sync.Mutex
	leases map[*Lease]struct{}
}

// NewKeeper returns a keeper of leases that last for ackWait. flush returns once
// the server has read everything that was written to it before.
func NewKeeper(flush func(ctx context.Context) error, ackWait time.Duration) *Keeper {
	return &Keeper{flush: flush, ackWait: ackWait, leases: make(map[*Lease]struct{})}
}

// Begin begins a message's lease, which has to be ended. It counts from the moment
// at which the message was asked for: the server cannot have delivered it earlier.
func (k *Keeper) Begin(message Message, stream Stream, asked time.Time) *Lease {
	l := &Lease{message: message, stream: stream}
	l.until.Store(asked.Add(k.ackWait).UnixNano())
	k.mu.Lock()
	defer k.mu.Unlock()
	k.leases[l] = struct{}{}
	return l
}

// End ends leases: they are not renewed any more.
func (k *Keeper) End(leases ...*Lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range leases {
		delete(k.leases, l)
	}
}

// Count returns how many leases there are.
func (k *Keeper) Count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.leases)
}

// Run renews leases until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	ticker := time.NewTicker(k.ackWait / 12)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			k.renew(ctx, k.due(k.ackWait*2/3+k.ackWait/12))
		case <-ctx.Done():
			return
		}
	}
}

// due lists the leases that are shorter than they should be.
func (k *Keeper) due(least time.Duration) []*Lease {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	var due []*Lease
	for l := range k.leases {
		if left := l.left(now); left > 0 && left < least {
			due = append(due, l)
		}
	}
	return due
}

// renew sends the server a sign of life for each message (+WPI).
func (k *Keeper) renew(ctx context.Context, leases []*Lease) {
	if len(leases) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, k.ackWait/6)
	defer cancel()
	streams := confirm(ctx, leases)
	asked := time.Now()
	renewed := leases[:0]
	for _, l := range leases {
		if streams[l.stream] && !l.Lapsed(asked) && l.message.InProgress() == nil {
			renewed = append(renewed, l)
		}
	}
	if k.flush(ctx) != nil {
		return
	}
	for _, l := range renewed {
		// It may have lapsed while we waited for the server.
		if !l.Lapsed(time.Now()) {
			l.until.Store(asked.Add(k.ackWait).UnixNano())
		}
	}
}

// confirm asks each stream once whether it is still the one it was.
func confirm(ctx context.Context, leases []*Lease) map[Stream]bool {
	streams := make(map[Stream]bool)
	for _, l := range leases {
		if _, known := streams[l.stream]; !known {
			streams[l.stream] = l.stream.Confirm(ctx)
		}
	}
	return streams
}

// Ensure renews leases so that no item's message is redelivered within least.
// It returns the items of which that is true, and those whose lease has lapsed.
func Ensure[T any](ctx context.Context, k *Keeper, items []T, of func(T) *Lease, least time.Duration) (ours, lost []T) {
	k.renew(ctx, short(items, of, least))
	now := time.Now()
	for i, item := range items {
		switch {
		case of(item).Short(now, least):
			lost = append(lost, item)
		case len(ours) == i: // the usual case costs nothing
			ours = items[: i+1 : i+1]
		default:
			ours = append(ours, item)
		}
	}
	return ours, lost
}

// short lists the leases of items that are shorter than least, each once.
func short[T any](items []T, of func(T) *Lease, least time.Duration) (leases []*Lease) {
	now, seen := time.Now(), make(map[*Lease]struct{})
	for _, item := range items {
		l := of(item)
		if _, known := seen[l]; known || !l.Short(now, least) {
			continue
		}
		seen[l] = struct{}{}
		leases = append(leases, l)
	}
	return leases
}
