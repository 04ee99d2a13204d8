package dispatcher

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
)

// Parked events are messages of a stream of their own, with a schedule: when
// their time has come, the server itself moves them from <parked>.wait.… to
// <parked>.due.<dataset>, where a consumer finds them. Until then they hold no
// memory here and no place in a consumer. (NATS 2.12, ADR-51.)

// Why events are parked. The header Capi-Reason says it.
const (
	parkedPaused    = "paused"    // the dataset is in trouble
	parkedThrottled = "throttled" // Meta, or a limit that is near, asks to wait
	parkedRetry     = "retry"     // it did not work for too long
	parkedUnknown   = "unknown"   // nobody knows whether it did
	parkedRefused   = "refused"   // every event of the dataset is refused
	parkedUnlinked  = "unlinked"  // the account is not linked to the dataset
	parkedCongested = "congested" // the dataset does not keep up
	parkedNotYet    = "not_yet"   // the event comes from a fast clock
	parkedUnasked   = "no_answer" // nobody has told the dataset yet
)

// waitSubject is where one event waits. Schedules are told apart by subject.
func (d *Dispatcher) waitSubject(e *entry) string {
	return d.waitRoot() + e.destination() + "." + e.id()
}

// dueSubject is where a dataset's events come back.
func (d *Dispatcher) dueSubject(dataset string) string {
	return d.cfg.Streams.ParkedSubject + ".due." + dataset
}

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

// parkUntil parks events that may not be sent before a given time.
func (d *Dispatcher) parkUntil(entries []*entry, reason string, until time.Time) {
	for _, e := range entries {
		e.until = later(e.until, until)
	}
	d.park(entries, reason)
}

// park puts events into the parked stream: each until its own time, or for
// longer each time it is parked.
func (d *Dispatcher) park(entries []*entry, reason string) {
	now := time.Now()
	publications := make([]*publication, len(entries))
	for i, e := range entries {
		publications[i] = d.parkedMessage(e, reason, d.wakeTime(e, now))
	}
	d.move(publications)
}

// wakeTime is when a parked event comes back, on the server's clock: not long
// after Meta would stop taking it, though, because then it has to be
// dead-lettered.
func (d *Dispatcher) wakeTime(e *entry, now time.Time) time.Time {
	wait := d.cfg.Delivery.Park.Delay(e.history.parked)
	if !e.until.IsZero() {
		// Those that wait for the same moment do not all come at once.
		wait = max(e.until.Sub(now), 0)
		wait += rand.N(wait/8 + 1)
	}
	at := d.clock.Now().Add(max(wait, d.shortestWait(e.history.parked)))
	if expiry := e.event.ExpiresAt().Add(time.Second); at.After(expiry) {
		at = expiry
	}
	// The schedule is in whole seconds.
	return at.Truncate(time.Second).Add(time.Second)
}

// shortestWait is how long an event waits at the least that has been parked so
// many times before: whatever it is that brings it back too early, each time
// costs four writes.
func (d *Dispatcher) shortestWait(parked int) time.Duration {
	if parked == 0 {
		return 0
	}
	return min(time.Second<<min(parked-1, 20), d.cfg.Delivery.Park.Max)
}

func (d *Dispatcher) parkedMessage(e *entry, reason string, at time.Time) *publication {
	msg := nats.NewMsg(d.waitSubject(e))
	var envelope string
	msg.Data, envelope = pack(e.lane.envelope, e)
	injectTrace(e, msg.Header)
	h := &e.history
	msg.Header.Set(header.Reason, reason)
	msg.Header.Set(header.FirstSeen, h.firstSeen.UTC().Format(time.RFC3339Nano))
	msg.Header.Set(header.Attempts, strconv.Itoa(h.attempts))
	msg.Header.Set(header.Parked, strconv.Itoa(h.parked+1))
	msg.Header.Set(header.OriginSubject, h.originSubject)
	msg.Header.Set(header.OriginSequence, strconv.FormatUint(h.originSequence, 10))
	if h.maybeSent > 0 {
		msg.Header.Set(header.MaybeSent, strconv.Itoa(h.maybeSent))
	}
	if h.early > 0 {
		msg.Header.Set(header.Early, strconv.Itoa(h.early))
	}
	if !h.refusedAlone.IsZero() {
		msg.Header.Set(header.RefusedAlone, h.refusedAlone.UTC().Format(time.RFC3339Nano))
	}
	if h.replaces != 0 {
		msg.Header.Set(header.Claim, strconv.FormatInt(int64(h.replaces), 10))
	}
	if id := h.dedupeID(); id != "" {
		msg.Header.Set(header.DedupeID, id)
	}
	if envelope != "" {
		msg.Header.Set(header.Envelope, envelope)
	}
	return &publication{For: leaving{entries: []*entry{e}}, Msg: msg, Opts: []jetstream.PublishOpt{
		jetstream.WithScheduleAt(at),
		jetstream.WithScheduleTarget(d.dueSubject(e.destination())),
		jetstream.WithMsgID("park-" + e.id()),
	}}
}
