package dispatcher

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Condition is one thing that has to hold for events to flow.
type Condition struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Warning: events flow all the same. It is something for a person to look
	// at, and no reason to take the worker out.
	Warning bool `json:"warning,omitempty"`
	// Reason says what is wrong.
	Reason string `json:"reason,omitempty"`
	// Since is when it began to be as it is, if known.
	Since time.Time `json:"since,omitzero"`
}

// Blocks reports whether events do not flow because of it.
func (c Condition) Blocks() bool { return !c.OK && !c.Warning }

// health is what readiness asks for.
type health struct {
	events *gate // events can be pulled
	parked *gate // parked events can be pulled
	redis  *gate // claims can be made
	graph  *gate // connections to Meta come about
	exits  *gate // parking and dead-lettering work
}

func newHealth() *health {
	h := &health{events: newGate(), parked: newGate(), redis: newGate(), graph: newGate(), exits: newGate()}
	h.events.shut("starting")
	return h
}

// Conditions tells what keeps events from flowing, if anything.
func (d *Dispatcher) Conditions() []Condition {
	conn := d.deps.JetStream.Conn()
	server := Condition{Name: "nats", OK: conn.IsConnected()}
	if !server.OK {
		server.Reason = "not connected: " + conn.Status().String()
	}
	return []Condition{
		server,
		d.health.events.condition("events"),
		d.health.parked.condition("parked"),
		d.health.redis.condition("redis"),
		d.health.graph.condition("graph"),
		d.health.exits.condition("exits"),
		d.storageCondition(),
		d.overdueCondition(),
		d.accounts.condition(time.Now()),
	}
}

// overdueCondition says whether NATS brings parked events back.
func (d *Dispatcher) overdueCondition() Condition {
	c := Condition{Name: "overdue", OK: true, Warning: true}
	if left := d.sweeper.left(); left > 0 {
		c.OK, c.Reason = false, fmt.Sprintf("NATS has not brought %d parked events back in time, and they could not be called back", left)
	}
	return c
}

// storageCondition says whether there is room in NATS.
func (d *Dispatcher) storageCondition() Condition {
	reason, since := d.storage.Filling()
	return Condition{Name: "storage", OK: reason == "", Warning: true, Reason: reason, Since: since}
}

// gate is a condition that others can wait for. It begins open.
type gate struct {
	mu      sync.Mutex
	reason  string
	since   time.Time
	changed chan struct{} // closed at the next change
}

func newGate() *gate { return &gate{since: time.Now(), changed: make(chan struct{})} }

// shut closes the gate, or changes the reason, and tells whether it was open.
func (g *gate) shut(reason string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.reason
	g.reason = reason
	if was == "" {
		g.change()
	}
	return was == ""
}

// open opens the gate and tells whether it was shut.
func (g *gate) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reason == "" {
		return false
	}
	g.reason = ""
	g.change()
	return true
}

func (g *gate) change() {
	g.since = time.Now()
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *gate) isOpen() bool {
	isOpen, _ := g.state()
	return isOpen
}

func (g *gate) state() (isOpen bool, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reason == "", g.changed
}

// await returns once the gate is as wanted, or with the context's error.
func (g *gate) await(ctx context.Context, wanted bool) error {
	for {
		isOpen, changed := g.state()
		if isOpen == wanted {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g *gate) condition(name string) Condition {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Condition{Name: name, OK: g.reason == "", Reason: g.reason, Since: g.since}
}
