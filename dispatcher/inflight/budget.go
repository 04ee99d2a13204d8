// Package inflight bounds what a process has in flight: the messages that it has
// pulled and not settled yet.
package inflight

import (
	"context"
	"sync"
)

// Budget is how many messages may be in flight, and how many bytes. Bytes are
// those of the messages and those of the events in them: a body of a few
// kilobytes can hold a thousand events, which take up a hundred times as much
// memory once they are decoded.
//
// What a message weighs as it is, is reserved before it is pulled. What its
// events weigh is known when it is decoded, and spent then: a message waits
// until there is enough, and meanwhile nothing more is pulled. One that weighs
// more than the whole budget passes when no other is in flight.
//
// Its methods are safe for concurrent use.
type Budget struct {
	mostMessages, mostBytes int

	mu              sync.Mutex
	messages, bytes int // free; bytes may be less than none
	admitted        int // messages whose events are in flight
	blocked         int // messages that wait to be admitted
	waiters         int
	changed         chan struct{} // closed when something may have become free
}

// NewBudget returns a budget of which nothing is spent.
func NewBudget(messages, bytes int) *Budget {
	return &Budget{
		mostMessages: messages, mostBytes: bytes,
		messages: messages, bytes: bytes,
		changed: make(chan struct{}),
	}
}

// Reserve waits until a message and leastBytes are free, and then takes up to
// most messages and up to a quarter of all bytes, but no more than half of what
// is free: what has been pulled needs the rest to be admitted. What is not used has to be returned with [Budget.Free].
// The error is that of ctx.
func (b *Budget) Reserve(ctx context.Context, most, leastBytes int) (messages, bytes int, err error) {
	err = b.await(ctx, func() bool {
		messages, bytes = b.tryReserve(most, leastBytes)
		return messages > 0
	})
	return messages, bytes, err
}

func (b *Budget) tryReserve(most, leastBytes int) (messages, bytes int) {
	// A pull for a handful at a time would cost more than it brings.
	enough := max(1, min(most, b.mostMessages/64))
	if b.blocked > 0 || b.messages < enough || b.bytes < leastBytes {
		return 0, 0
	}
	messages = min(most, (b.messages+1)/2)
	bytes = max(leastBytes, min(b.bytes/2, b.mostBytes/4))
	b.messages -= messages
	b.bytes -= bytes
	return messages, bytes
}

// Short reports whether less than a quarter is free, so that pulls are smaller
// than they might be, or wait.
func (b *Budget) Short() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.blocked > 0 || 4*b.messages < b.mostMessages || 4*b.bytes < b.mostBytes
}

// Free returns what was reserved and not used.
func (b *Budget) Free(messages, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages += messages
	b.bytes += bytes
	b.change()
}

// Admit waits until the bytes that a message's events weigh are free, and spends
// them. If ctx ends before, nothing is spent, and the error is that of ctx.
func (b *Budget) Admit(ctx context.Context, bytes int) error {
	b.mu.Lock()
	b.blocked++
	b.mu.Unlock()
	err := b.await(ctx, func() bool { return b.tryAdmit(bytes) })
	b.mu.Lock()
	defer b.mu.Unlock()
	b.blocked--
	b.change()
	return err
}

// TryAdmit spends the bytes that a message's events weigh, if they are free, and
// reports whether it has.
func (b *Budget) TryAdmit(bytes int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.blocked == 0 && b.tryAdmit(bytes)
}

func (b *Budget) tryAdmit(bytes int) bool {
	if b.bytes < bytes && b.admitted > 0 {
		return false
	}
	b.bytes -= bytes
	b.admitted++
	return true
}

// Leave returns what messages that were admitted, and their events, weigh in all.
func (b *Budget) Leave(messages, bytes int) {
	if messages == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.admitted -= messages
	b.messages += messages
	b.bytes += bytes
	b.change()
}

// await calls try, which takes what it finds free and reports whether it has,
// until it has or ctx ends.
func (b *Budget) await(ctx context.Context, try func() bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !try() {
		changed := b.changed
		b.waiters++
		b.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-ctx.Done():
			err = ctx.Err()
		}
		b.mu.Lock()
		b.waiters--
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *Budget) change() {
	if b.waiters > 0 {
		close(b.changed)
		b.changed = make(chan struct{})
	}
}
