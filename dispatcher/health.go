package dispatcher

import (
	"fmt"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
)

// gates are what readiness asks for.
type gates struct {
	events *health.Gate // events can be pulled
	parked *health.Gate // parked events can be pulled
	redis  *health.Gate // claims can be made
	graph  *health.Gate // connections to Meta come about
	slots  *health.Gate // there is room in the consumers for what finds no way out
}

func newGates() *gates {
	return &gates{
		events: health.NewUncheckedGate(), parked: health.NewUncheckedGate(), redis: health.NewUncheckedGate(),
		graph: health.NewGate(),
		slots: health.NewOpenGate(), // nothing is held in the beginning
	}
}

// Conditions tells what keeps events from flowing, if anything.
func (d *Dispatcher) Conditions() []health.Condition {
	return append(d.flow(), d.storageCondition(), d.overdueCondition(), d.settings.Condition(), d.workersCondition(),
		d.accounts.Condition())
}

// flow lists what has to hold for events to flow.
func (d *Dispatcher) flow() []health.Condition {
	conn := d.deps.JetStream.Conn()
	server := health.Condition{Name: "nats", OK: conn.IsConnected()}
	if !server.OK {
		server.Reason = "not connected: " + conn.Status().String()
	}
	return []health.Condition{
		server,
		d.gates.events.Condition("events"),
		d.gates.parked.Condition("parked"),
		d.gates.redis.Condition("redis"),
		d.gates.graph.Condition("graph"),
		d.exitsCondition(),
		d.gates.slots.Condition("slots"),
	}
}

// exitsCondition says whether events can leave otherwise than for Meta. Dead
// letters that are refused are parked meanwhile: that keeps no events from
// flowing.
func (d *Dispatcher) exitsCondition() health.Condition {
	letters, parking := d.letters.Gate.Condition("exits"), d.parking.Gate.Condition("exits")
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
func (d *Dispatcher) overdueCondition() health.Condition {
	c := health.Condition{Name: "overdue", OK: true, Warning: true}
	if left := d.sweeper.Overdue(); left > 0 {
		c.OK, c.Reason = false, fmt.Sprintf("NATS has not brought %d parked events back in time, and they could not be called back", left)
	}
	return c
}

// storageCondition says whether there is room in NATS.
func (d *Dispatcher) storageCondition() health.Condition {
	reason, since := d.storage.Filling()
	return health.Condition{Name: "storage", OK: reason == "", Warning: true, Reason: reason, Since: since}
}
