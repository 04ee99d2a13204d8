package dispatcher

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// parkedSubjects are where events wait, and where they come back.
func (d *Dispatcher) parkedSubjects() parked.Subjects {
	return parked.Subjects(d.cfg.Streams.ParkedSubject)
}

// waits say how long events are parked.
func (d *Dispatcher) waits() parked.Waits { return parked.Waits{Backoff: d.cfg.Delivery.Park} }

// destination is the dataset that an event waits for, or auto if that has yet
// to be found out.
func (e *entry) destination() string {
	if e.lane.dataset == "" {
		return admission.Auto
	}
	return e.lane.dataset
}

// id names an event in hand for good: the same delivery again has the same id.
func (e *entry) id() string {
	return fmt.Sprintf("%x-%x-%x", e.message.source.epoch.ID, e.message.sequence, e.index)
}

// groupID names a group of events of one message likewise.
func groupID(group []*entry) string {
	if len(group) == 1 {
		return group[0].id()
	}
	sum := sha256.New()
	for _, e := range group {
		fmt.Fprintf(sum, "%d,", e.index)
	}
	return fmt.Sprintf("%s-%d-%x", group[0].id(), len(group), sum.Sum(nil)[:8])
}

// parkedFor returns why events are parked that a request with such a verdict has
// left unsent. Each of these is covered by what calls a dataset's events back.
func parkedFor(verdict graph.Verdict) parked.Reason {
	switch verdict {
	case graph.Paused:
		return parked.Paused
	case graph.Throttled:
		return parked.Throttled
	case graph.Retry:
		return parked.Failing
	case graph.Refused:
		return parked.Refused
	case graph.Unknown, graph.Accepted: // what was accepted is not parked
		return parked.Unknown
	default:
		return parked.Unknown
	}
}

// parkUntil parks events that may not be sent before a given time.
func (d *Dispatcher) parkUntil(entries []*entry, reason parked.Reason, until time.Time) {
	for _, e := range entries {
		e.until = later(e.until, until)
	}
	d.park(entries, reason)
}

// park puts events into the parked stream: each until its own time, or for
// longer each time it is parked.
func (d *Dispatcher) park(entries []*entry, reason parked.Reason) {
	now := time.Now()
	publications := make([]*publication, len(entries))
	for i, e := range entries {
		publications[i] = d.parkedMessage(e, reason, d.wakeTime(e, now))
	}
	d.move(publications)
}

// wakeTime is when a parked event comes back, on the server's clock.
func (d *Dispatcher) wakeTime(e *entry, now time.Time) time.Time {
	before := e.history.parked
	var wait time.Duration
	if e.until.IsZero() {
		wait = d.waits().Delay(before)
	} else {
		wait = d.waits().DelayFor(before, e.until.Sub(now))
	}
	return parked.WakeTime(d.clock.Now(), wait, e.event.ExpiresAt())
}

func (d *Dispatcher) parkedMessage(e *entry, reason parked.Reason, at time.Time) *publication {
	event, subjects := e.parked(reason), d.parkedSubjects()
	return &publication{
		For: leaving{entries: []*entry{e}}, Msg: event.Message(subjects, e.destination(), e.id()),
		Opts: append(subjects.Schedule(e.destination(), at), jetstream.WithMsgID("park-"+e.id())),
	}
}

// parked is the event as it is to be parked.
func (e *entry) parked(reason parked.Reason) *parked.Event {
	h := &e.history
	event := &parked.Event{
		Reason: reason, FirstSeen: h.firstSeen,
		Attempts: h.attempts, MaybeSent: h.maybeSent, Parked: h.parked + 1, Early: h.early, RefusedAlone: h.refusedAlone,
		OriginSubject: h.originSubject, OriginSequence: h.originSequence,
		Claim: int64(h.replaces), DedupeID: h.dedupeID(), Trace: nats.Header{},
	}
	event.Data, event.Envelope = pack(e.lane.envelope, e)
	injectTrace(e, event.Trace)
	return event
}
