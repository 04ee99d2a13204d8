package inflight

import "sync"

// Coalescer makes one of what has the same key lead, and the others follow it, to
// share its outcome. It is safe for concurrent use.
type Coalescer[K, T comparable] struct {
	key func(T) K

	mu     sync.Mutex
	groups map[K]group[T]
}

type group[T comparable] struct {
	leader    T
	followers []T
}

// NewCoalescer returns a coalescer of nothing yet, of items with such keys.
func NewCoalescer[K, T comparable](key func(T) K) *Coalescer[K, T] {
	return &Coalescer[K, T]{key: key, groups: make(map[K]group[T])}
}

// Join makes each item the leader of its key, or a follower of the one that leads.
// It returns the leaders.
func (c *Coalescer[K, T]) Join(items []T) (leaders []T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	leaders = make([]T, 0, len(items))
	for _, item := range items {
		key := c.key(item)
		g, exists := c.groups[key]
		if !exists {
			c.groups[key] = group[T]{leader: item}
			leaders = append(leaders, item)
			continue
		}
		g.followers = append(g.followers, item)
		c.groups[key] = g
	}
	return leaders
}

// Leave takes leaders out and returns their followers. With promote, the first of
// each one's followers leads from now on, the others follow that one, and only
// it is returned. Of an item that leads nothing there are none.
func (c *Coalescer[K, T]) Leave(leaders []T, promote bool) (followers []T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, leader := range leaders {
		key := c.key(leader)
		g, exists := c.groups[key]
		switch {
		case !exists || g.leader != leader:
		case promote && len(g.followers) > 0:
			c.groups[key] = group[T]{leader: g.followers[0], followers: g.followers[1:]}
			followers = append(followers, g.followers[0])
		default:
			delete(c.groups, key)
			followers = append(followers, g.followers...)
		}
	}
	return followers
}
