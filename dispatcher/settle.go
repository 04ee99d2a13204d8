package dispatcher

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/claims"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/inflight"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/lease"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/outlet"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
)

// outcome is how an event's stay here ends. Only [settler.settle] acts on it.
type outcome struct {
	fate   fate
	reason parked.Reason // why the event waits, where it is parked
	until  time.Time     // it does not come back before that; zero: it waits longer each time
	delay  time.Duration // until a returned one may be delivered again
}

// toPark parks an event until a time; with none, for longer each time.
func toPark(reason parked.Reason, until time.Time) outcome {
	return outcome{fate: postponed, reason: reason, until: until}
}

// toReturn gives an event back to the server, to be delivered again after a delay.
func toReturn(delay time.Duration) outcome { return outcome{fate: returned, delay: delay} }

// fate is what has become of an event. The order is the order in which a message
// with several events takes its own fate from theirs.
type fate uint8

const (
	accepted     fate = iota
	duplicate         // accepted before
	deadLettered      // in the dead-letter stream, for the reason that the event says
	postponed         // in the parked stream
	returned          // given back to the server, for another try
	abandoned         // dropped: its lease has lapsed
)

// String returns the word that metrics and spans have for it.
func (f fate) String() string {
	return [...]string{"accepted", "duplicate", "dead_lettered", "parked", "returned", "dropped"}[f]
}

// settler ends the stay of events, and of the messages that they came in.
type settler struct {
	*run

	claims     *claims.Book
	parking    *outlet.Outlet[leaving]
	letters    *deadLetters
	load       *inflight.Load
	identities *inflight.Coalescer[dedupe.Key, *inFlight]
	batches    *batcher.Batcher[lane, *inFlight]
	leases     *lease.Keeper
	budget     *inflight.Budget
}

// settle ends the stay of events. Nothing else publishes, confirms, gives claims up,
// acknowledges, naks or terminates, and it does so in the order that the protocol
// demands: what has to be kept is stored, then the claims are confirmed or given
// up, then the messages are acknowledged.
func (s *settler) settle(events []*inFlight, o outcome) {
	if len(events) == 0 {
		return
	}
	switch o.fate {
	case deadLettered:
		s.letters.bury(apart(events))
		return
	case postponed:
		s.park(events, o)
		return
	case accepted:
		s.confirm(events)
	case abandoned:
		s.log.Warn("events were in flight for too long without word from NATS; it will deliver them again",
			zap.Int("events", len(events)))
		s.releaseUnsent(events)
	case returned:
		s.releaseUnsent(events)
	case duplicate: // the claim is another's
	}
	s.end(events, o)
}

// end ends the stay of events whose outcome is durable, and that of events with the
// same identity that have waited for it.
func (s *settler) end(events []*inFlight, o outcome) {
	for _, e := range events {
		s.endOne(e, o)
	}
}

func (s *settler) endOne(e *inFlight, o outcome) {
	s.meters.settled(e, o.fate)
	endSpan(e, o.fate)
	if e.loaded {
		s.load.Add(e.lane.dataset, -1)
	}
	s.endFollowers(e, o.fate)
	if e.message.settle(o) {
		s.finish(e.message)
	}
}

// endFollowers ends the stay of those that have waited for an event. A leader that
// was not sent leaves the matter to the next in line: the claim that held the leader
// up may be the next one's own.
func (s *settler) endFollowers(e *inFlight, f fate) {
	promote := f != accepted && f != duplicate
	for _, follower := range s.identities.Leave(e.key, e, promote) {
		if promote {
			s.batches.Add(follower.item())
		} else {
			s.endOne(follower, outcome{fate: duplicate})
		}
	}
}

// returnWhole naks a message whose events have not been admitted.
func (s *settler) returnWhole(m *message) {
	m.expect(1)
	m.settle(toReturn(0))
	s.finish(m)
}

// finish ends the message's stay, once its stream is known to be the one that it
// came from. Until then it keeps its room and its lease, so that no more can wait
// than may be in flight.
func (s *settler) finish(m *message) {
	if m.worst == abandoned || m.source.epoch.Sure() {
		s.acknowledge(m, true)
		return
	}
	m.source.epoch.Await(func(current bool) { s.acknowledge(m, current) })
}

// acknowledge sends the server the ack, nak or term of a message, and frees its
// room in the budget. An acknowledgement that gets lost does no harm: the
// message comes again, and its events are duplicates then. If the stream may be
// another, nothing is sent: its message of that number may be another message.
func (s *settler) acknowledge(m *message, current bool) {
	s.leases.End(m.lease)
	defer s.makeRoom(m)
	var err error
	switch {
	case m.worst == abandoned, !current:
	case m.worst == returned && m.lease.Lapsed(time.Now()):
		// A late nak would take the message from the worker that has it now.
	case m.worst == returned && m.delay > 0:
		err = m.NakWithDelay(m.delay)
	case m.worst == returned:
		err = m.Nak()
	case m.worst == deadLettered && m.events == 1:
		err = m.Respond([]byte("+TERM dead-lettered"))
	default:
		err = m.Ack()
	}
	if err != nil {
		s.log.Debug("acknowledgement not sent; the message will come again", zap.Error(err))
	}
}

func (s *settler) makeRoom(m *message) {
	if m.admitted {
		s.budget.Leave(m.bytes)
	} else {
		s.budget.Free(1, m.bytes)
	}
}

// dropLapsed drops events whose lease has lapsed, as their message may have
// been redelivered, and returns the others: their leases last until a request
// has ended.
func (s *settler) dropLapsed(events []*inFlight) []*inFlight {
	ours, lost := lease.Ensure(s.workCtx, s.leases, events, (*inFlight).lease, s.cfg.RequestTimeout+s.cfg.Streams.ToBegin())
	s.settle(lost, outcome{fate: abandoned})
	return ours
}

// confirm remembers events as sent, now or later.
func (s *settler) confirm(events []*inFlight) {
	ctx, cancel := context.WithTimeout(s.intakeCtx, s.cfg.Streams.AckWait/3)
	defer cancel()
	s.claims.Confirm(ctx, claimsOf(events))
}

// release gives up the claims of events that this message will not send.
func (s *settler) release(events []*inFlight) { s.claims.Release(s.intakeCtx, giveUpClaims(events)) }

// releaseUnsent gives up the claims of events that were not sent for sure. The
// claim of an event that may have been sent stays: it is how the next delivery
// knows, or a copy of a dead letter.
func (s *settler) releaseUnsent(events []*inFlight) {
	var unsent []*inFlight
	for _, e := range events {
		if e.history.maybeSent == 0 {
			unsent = append(unsent, e)
		}
	}
	s.release(unsent)
}

// giveUpClaims takes their claims from events that have any.
func giveUpClaims(events []*inFlight) (claims []dedupe.Claim) {
	for _, e := range events {
		if e.claimed {
			e.claimed = false
			claims = append(claims, e.claim())
		}
	}
	return claims
}
