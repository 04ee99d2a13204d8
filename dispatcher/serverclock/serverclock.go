// Package serverclock reckons with the clock of the NATS server, which may differ
// from ours: the server stamps messages with its time, and brings parked ones
// back by it.
package serverclock

import (
	"sync"
	"time"
)

// Clock is the server's clock, as far as is known. Until the server has said
// what time it is, it is ours. Its methods are safe for concurrent use.
type Clock struct {
	local func() time.Time

	mu     sync.Mutex
	offset time.Duration // of the server's clock from ours
	within time.Duration // how far off that may be; 0: nothing is known
}

// New returns a clock that starts from a local one.
func New(local func() time.Time) *Clock { return &Clock{local: local} }

// Now returns what time it is on the server.
func (c *Clock) Now() time.Time { return c.local().Add(c.Skew()) }

// Skew returns by how much the server's clock is ahead of ours.
func (c *Clock) Skew() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset
}

// Observe learns from an answer of the server, which gives the server's time
// and arrived after took. An answer that took longer than usual is less exact,
// and is ignored.
func (c *Clock) Observe(server time.Time, took time.Duration) {
	const precise = 10 * time.Millisecond
	if server.IsZero() {
		return
	}
	now := c.local()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.within != 0 && took > 2*max(c.within, precise) {
		c.within *= 2 // clocks drift: what is known grows old
		return
	}
	c.offset, c.within = server.Sub(now.Add(-took/2)), max(took, 1)
}
