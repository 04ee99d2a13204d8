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
	// Reason says what is wrong, or that nobody has tried yet.
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
	slots  *gate // there is room in the consumers for what finds no way out
}

func newHealth() *health {
	h := &health{events: newGate(), parked: newGate(), redis: newGate(), graph: newGate(), slots: newGate()}
	for _, g := range []*gate{h.events, h.parked, h.redis} {
		g.reason = "not checked yet"
	}
	h.slots.untried = false // nothing is held in the beginning
	return h
}

// Conditions tells what keeps events from flowing, if anything.
func (d *Dispatcher) Conditions() []Condition {
	return append(d.flow(), d.storageCondition(), d.overdueCondition(), d.settings.condition(), d.workersCondition(),
		d.accounts.condition(time.Now()))
}

// flow lists what has to hold for events to flow.
func (d *Dispatcher) flow() []Condition {
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
		d.exitsCondition(),
		d.health.slots.condition("slots"),
	}
}

// exitsCondition says whether events can leave otherwise than for Meta. Dead
// letters that are refused are parked meanwhile: that keeps no events from
// flowing.
func (d *Dispatcher) exitsCondition() Condition {
	letters, parking := d.letters.gate.condition("exits"), d.parking.gate.condition("exits")
	switch {
	case letters.Blocks() && parking.Blocks():
		parking.Reason = letters.Reason + "; " + parking.Reason
		return parking
	case letters.Blocks():
		letters.Warning = true
		return letters
	case parking.OK && letters.Reason == "":
		return letters // it has been tried
	default:
		return parking
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

// gate is a condition that others can wait for. It begins open, and nobody knows
// yet whether that is right.
type gate struct {
	mu      sync.Mutex
	reason  string
	untried bool // it has been neither opened nor shut
	since   time.Time
	changed chan struct{} // closed at the next change
}

func newGate() *gate { return &gate{untried: true, since: time.Now(), changed: make(chan struct{})} }

// shut closes the gate, or changes the reason, and tells whether that is news.
func (g *gate) shut(reason string) (news bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	was, untried := g.reason, g.untried
	g.reason, g.untried = reason, false
	if was == "" {
		g.change()
	}
	return was == "" || untried
}

// open opens the gate, and tells whether something had shut it.
func (g *gate) open() (news bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	was, untried := g.reason, g.untried
	g.reason, g.untried = "", false
	if was != "" || untried {
		g.change()
	}
	return was != "" && !untried
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

// condition tells how the gate stands. What nobody has tried yet is open, and no
// more than that is known.
func (g *gate) condition(name string) Condition {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := Condition{Name: name, OK: g.reason == "", Reason: g.reason, Since: g.since}
	if c.OK && g.untried {
		c.Reason = "not tried yet"
	}
	return c
}
