package dispatcher

import (
	"context"
	"sync"
)

// room bounds what is in hand, by messages and by bytes.
type room struct {
	mostMessages, mostBytes int

	mu              sync.Mutex
	messages, bytes int // free
	freed           chan struct{}
}

func newRoom(messages, bytes int) *room {
	return &room{
		mostMessages: messages, mostBytes: bytes,
		messages: messages, bytes: bytes,
		freed: make(chan struct{}, 1),
	}
}

// reserve waits until there is room for a message and for at least so many
// bytes, and then takes up to most messages and a quarter of all bytes, but
// leaves half of what is free to others. What is not used is to be returned
// with free.
func (r *room) reserve(ctx context.Context, most, leastBytes int) (messages, bytes int, err error) {
	for {
		if messages, bytes := r.tryReserve(most, leastBytes); messages > 0 {
			return messages, bytes, nil
		}
		select {
		case <-r.freed:
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
	}
}

func (r *room) tryReserve(most, leastBytes int) (messages, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// A pull for a handful at a time would cost more than it brings.
	enough := max(1, min(most, r.mostMessages/64))
	if r.messages < enough || r.bytes < leastBytes {
		return 0, 0
	}
	messages = min(most, (r.messages+1)/2)
	bytes = max(leastBytes, min(r.bytes, r.mostBytes/4))
	r.messages -= messages
	r.bytes -= bytes
	r.wake() // there may be enough left for another
	return messages, bytes
}

func (r *room) free(messages, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages += messages
	r.bytes += bytes
	r.wake()
}

func (r *room) wake() {
	select {
	case r.freed <- struct{}{}:
	default:
	}
}
