package inflight

import "sync"

// Load counts the events in flight of each dataset. Its methods are safe for
// concurrent use.
type Load struct {
	mu     sync.Mutex
	events map[string]int // only of datasets that have any
}

// NewLoad returns a Load of no events.
func NewLoad() *Load { return &Load{events: make(map[string]int)} }

// Add counts events that have come in, or, as a negative number, that have left.
func (l *Load) Add(dataset string, events int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.events[dataset] += events; l.events[dataset] == 0 {
		delete(l.events, dataset)
	}
}

// Of returns how many events of a dataset are in flight.
func (l *Load) Of(dataset string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.events[dataset]
}
