package health

import (
	"context"
	"sync"
	"time"
)

// Gate is a condition that others can wait for. It begins in a state that no
// attempt has confirmed yet.
type Gate struct {
	mu      sync.Mutex
	reason  string // why it is shut; "" while it is open
	untried bool   // it has been neither opened nor shut
	since   time.Time
	changed chan struct{} // closed at the next change
}

// NewGate returns a gate that is open until the first attempt.
func NewGate() *Gate {
	return &Gate{untried: true, since: time.Now(), changed: make(chan struct{})}
}

// NewUncheckedGate returns a gate that is shut until the first check.
func NewUncheckedGate() *Gate {
	g := NewGate()
	g.reason = "not checked yet"
	return g
}

// NewOpenGate returns a gate that is known to be open.
func NewOpenGate() *Gate {
	g := NewGate()
	g.untried = false
	return g
}

// Shut closes the gate, or changes the reason, and reports whether that is news.
func (g *Gate) Shut(reason string) (news bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	was, untried := g.reason, g.untried
	g.reason, g.untried = reason, false
	if was == "" {
		g.change()
	}
	return was == "" || untried
}

// Open opens the gate, and reports whether something had shut it.
func (g *Gate) Open() (news bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	was, untried := g.reason, g.untried
	g.reason, g.untried = "", false
	if was != "" || untried {
		g.change()
	}
	return was != "" && !untried
}

func (g *Gate) change() {
	g.since = time.Now()
	close(g.changed)
	g.changed = make(chan struct{})
}

// IsOpen reports whether the gate is open.
func (g *Gate) IsOpen() bool {
	isOpen, _ := g.state()
	return isOpen
}

func (g *Gate) state() (isOpen bool, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reason == "", g.changed
}

// AwaitOpen returns once the gate is open, or with the context's error.
func (g *Gate) AwaitOpen(ctx context.Context) error { return g.await(ctx, true) }

// AwaitShut returns once the gate is shut, or with the context's error.
func (g *Gate) AwaitShut(ctx context.Context) error { return g.await(ctx, false) }

func (g *Gate) await(ctx context.Context, open bool) error {
	for {
		isOpen, changed := g.state()
		if isOpen == open {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Condition returns how the gate stands. Before the first attempt its reason
// says that it has not been tried.
func (g *Gate) Condition(name string) Condition {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := Condition{Name: name, OK: g.reason == "", Reason: g.reason, Since: g.since}
	if c.OK && g.untried {
		c.Reason = "not tried yet"
	}
	return c
}
