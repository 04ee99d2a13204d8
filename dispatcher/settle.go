package dispatcher

import (
	"time"

	"go.uber.org/zap"
)

// settle ends an event's time in hand, and that of events with the same
// identity that have waited for it. When all events of a message are settled,
// so is the message; nothing else acknowledges anything.
func (d *Dispatcher) settle(e *entry, o outcome, delay time.Duration) {
	d.meters.settled(e, o)
	endSpan(e, o)
	if e.loaded {
		d.load.Add(e.lane.dataset, -1)
	}
	// A leader that was not sent leaves the matter to the next in line: the
	// claim that held the leader up may be the next one's own.
	promote := o != accepted && o != duplicate
	for _, follower := range d.identities.Leave(e.key, e, promote) {
		if promote {
			d.batches.Add(follower.item())
		} else {
			d.settle(follower, duplicate, 0)
		}
	}
	if e.message.settle(o, delay) {
		d.finish(e.message)
	}
}

func (d *Dispatcher) settleAll(entries []*entry, o outcome) {
	for _, e := range entries {
		d.settle(e, o, 0)
	}
}

// returnLater gives events back to the server, to be delivered again after a
// while. They must have no claim.
func (d *Dispatcher) returnLater(entries []*entry, delay time.Duration) {
	for _, e := range entries {
		d.settle(e, returned, delay)
	}
}

// giveBack gives events back to the server, for somebody else.
func (d *Dispatcher) giveBack(entries []*entry) {
	d.releaseUnsent(entries)
	d.settleAll(entries, returned)
}

// drop lets events go whose message may be somebody else's by now: it is
// neither acknowledged nor given back.
func (d *Dispatcher) drop(entries []*entry) {
	if len(entries) == 0 {
		return
	}
	d.log.Warn("events were in hand for too long without word from NATS; it will deliver them again", zap.Int("events", len(entries)))
	d.releaseUnsent(entries)
	d.settleAll(entries, dropped)
}

// giveBackWhole gives a message back whose events nobody has looked at.
func (d *Dispatcher) giveBackWhole(m *message) {
	m.expect(1)
	m.settle(returned, 0)
	d.finish(m)
}

// expect says how many events the message carries.
func (m *message) expect(events int) { m.events, m.open = events, events }

// settle notes the outcome of one of the message's events, and tells whether
// it was the last.
func (m *message) settle(o outcome, delay time.Duration) (last bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open--
	m.worst = max(m.worst, o)
	m.delay = max(m.delay, delay)
	return m.open == 0
}

// finish ends the message's time in hand, once its stream is known to be the
// one that it came from. Until then it keeps its room and its lease, so that no
// more can wait than may be in hand.
func (d *Dispatcher) finish(m *message) {
	if m.worst == dropped || m.source.epoch.Sure() {
		d.tell(m, true)
		return
	}
	m.source.epoch.Await(func(current bool) { d.tell(m, current) })
}

// tell says to the server what has become of a message. An acknowledgement that
// gets lost does no harm: the message comes again, and its events are
// duplicates then. Of a stream that may be another nothing is said: the message
// of that number may be somebody else's.
func (d *Dispatcher) tell(m *message, current bool) {
	d.leases.End(m.lease)
	defer d.returnRoom(m)
	var err error
	switch {
	case m.worst == dropped, !current:
	case m.worst == returned && m.lease.Lapsed(time.Now()):
		// A late nak would take the message from whoever has it now.
	case m.worst == returned && m.delay > 0:
		err = m.NakWithDelay(m.delay)
	case m.worst == returned:
		err = m.Nak()
	case m.worst == deadLettered && m.events == 1:
		err = m.TermWithReason("dead-lettered")
	default:
		err = m.Ack()
	}
	if err != nil {
		d.log.Debug("acknowledgement not sent; the message will come again", zap.Error(err))
	}
}

func (d *Dispatcher) returnRoom(m *message) {
	if m.admitted {
		d.budget.Leave(m.bytes)
	} else {
		d.budget.Free(1, m.bytes)
	}
}
