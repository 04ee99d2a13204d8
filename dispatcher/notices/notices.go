// Package notices sums up what happens often, for a line in the log now and then.
package notices

import (
	"sync"
	"time"
)

// Tally counts what happens, by kind. It is safe for concurrent use.
type Tally[K comparable, V any] struct {
	every time.Duration
	most  int

	mu     sync.Mutex
	kinds  map[K]*count[K, V]
	others count[K, V] // of kinds that have found no place
}

// count is of one kind.
type count[K comparable, V any] struct {
	line Line[K, V]
	last time.Time // when it was last logged
}

// Line is what to log of one kind, or of all kinds that have no line of their
// own.
type Line[K comparable, V any] struct {
	Kind   K    // or that of the first, if there are Others
	Others bool // kinds that have no line of their own
	Count  int
	First  V // what was said of the first
}

// New returns a tally with a line for each kind at most once in a while (every),
// and for a number of kinds at once (most). What is beyond that shares a line.
func New[K comparable, V any](every time.Duration, most int) *Tally[K, V] {
	t := &Tally[K, V]{every: every, most: most, kinds: make(map[K]*count[K, V])}
	t.others.line.Others = true
	return t
}

// Add counts n of a kind. first is asked about the first since the last line.
func (t *Tally[K, V]) Add(kind K, n int, first func() V) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.kinds[kind]
	switch {
	case c != nil:
	case len(t.kinds) < t.most:
		c = &count[K, V]{}
		t.kinds[kind] = c
	default:
		c = &t.others
	}
	if c.line.Count == 0 {
		c.line.Kind, c.line.First = kind, first()
	}
	c.line.Count += n
}

// Due returns the lines that may be told now, and forgets kinds of which nothing
// has happened for as long as that takes.
func (t *Tally[K, V]) Due() []Line[K, V] { return t.take(time.Now(), t.every) }

// All returns all lines that are left, whenever the last ones were returned.
func (t *Tally[K, V]) All() []Line[K, V] { return t.take(time.Now(), 0) }

func (t *Tally[K, V]) take(now time.Time, every time.Duration) (lines []Line[K, V]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tell := func(c *count[K, V]) (idle bool) {
		switch {
		case now.Sub(c.last) < every:
			return false
		case c.line.Count == 0:
			return true
		}
		lines = append(lines, c.line)
		c.line, c.last = Line[K, V]{Others: c.line.Others}, now
		return false
	}
	for kind, c := range t.kinds {
		if tell(c) {
			delete(t.kinds, kind)
		}
	}
	tell(&t.others)
	return lines
}
