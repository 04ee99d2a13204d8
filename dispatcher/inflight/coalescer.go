package inflight

import "sync"

// Coalescer makes one of what has the same key lead, and the others follow it, to
// share its outcome. It is safe for concurrent use.
type Coalescer[K, T comparable] struct {
	mu     sync.Mutex
	groups map[K]group[T]
}

type group[T comparable] struct {
	leader    T
	followers []T
}

// NewCoalescer returns a coalescer of nothing yet.
func NewCoalescer[K, T comparable]() *Coalescer[K, T] {
	return &Coalescer[K, T]{groups: make(map[K]group[T])}
}

// Join makes an item the leader of its key, or a follower of the one that leads.
func (c *Coalescer[K, T]) Join(key K, item T) (leads bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, exists := c.groups[key]
	if !exists {
		c.groups[key] = group[T]{leader: item}
		return true
	}
	g.followers = append(g.followers, item)
	c.groups[key] = g
	return false
}

// Leave takes a leader out and returns its followers. With promote, the first of
// them leads from now on, the others follow that one, and only it is returned.
// Of an item that leads nothing there are none.
func (c *Coalescer[K, T]) Leave(key K, leader T, promote bool) (followers []T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, exists := c.groups[key]
	if !exists || g.leader != leader {
		return nil
	}
	if promote && len(g.followers) > 0 {
		c.groups[key] = group[T]{leader: g.followers[0], followers: g.followers[1:]}
		return g.followers[:1]
	}
	delete(c.groups, key)
	return g.followers
}
