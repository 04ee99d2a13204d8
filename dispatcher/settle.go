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
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/outlet"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/traces"
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

// reasonOf is why an event leaves so; "" is that nothing is wrong.
func (o outcome) reasonOf(e *inFlight) string {
	switch {
	case o.fate != postponed:
		return string(e.reason)
	case e.reason != "": // it is parked as the dead letter that it is
		return metrics.Undelivered
	default:
		return string(o.reason)
	}
}

// fate is what has become of an event. The order is the order in which a message
// with several events takes its own fate from theirs.
type fate uint8

const (
	accepted     fate = iota
	duplicate         // accepted before
	skipped           // not to be sent, as configured
	deadLettered      // in the dead-letter stream, for the reason that the event says
	postponed         // in the parked stream
	returned          // given back to the server, for another try
	abandoned         // dropped: its lease has lapsed
)

// String returns the word that metrics and spans have for it.
func (f fate) String() string {
	return [...]string{"accepted", "duplicate", "skipped", "dead_lettered", "parked", "returned", "dropped"}[f]
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
	case duplicate, skipped: // the claim is another's, or there is none
	}
	s.end(events, o)
}

// end ends the stay of events whose outcome is durable, and that of events with the
// same identity that have waited for it.
func (s *settler) end(events []*inFlight, o outcome) {
	s.meters.settled(events, o)
	s.unload(events)
	s.endFollowers(events, o.fate)
	done := make([]*message, 0, len(events))
	for _, e := range events {
		endSpan(e, o.fate)
		if e.message.settle(o) {
			done = append(done, e.message)
		}
	}
	s.finish(done)
}

// unload counts events out that were counted among their dataset's.
func (s *settler) unload(events []*inFlight) {
	same := func(a, b *inFlight) bool { return ofOneDataset(a, b) && a.loaded == b.loaded }
	for group := range inflight.Runs(events, same) {
		if group[0].loaded {
			s.load.Add(group[0].lane.dataset, -len(group))
		}
	}
}

// endFollowers ends the stay of those that have waited for events. A leader that
// was not sent leaves the matter to the next in line: the claim that held the leader
// up may be the next one's own.
func (s *settler) endFollowers(events []*inFlight, f fate) {
	promote := f != accepted && f != duplicate
	followers := s.identities.Leave(events, promote)
	switch {
	case len(followers) == 0:
	case promote:
		s.batches.Add(items(followers)...)
	default:
		s.end(followers, outcome{fate: duplicate})
	}
}

// returnWhole naks a message whose events have not been admitted.
func (s *settler) returnWhole(m *message) {
	m.expect(1)
	m.settle(toReturn(0))
	s.finish([]*message{m})
}

// finish ends the stay of messages, once their stream is known to be the one that
// they came from. Until then they keep their room and their leases, so that no more
// can wait than may be in flight.
func (s *settler) finish(messages []*message) {
	sure := messages[:0]
	for _, m := range messages {
		if m.worst == abandoned || m.source.epoch.Sure() {
			sure = append(sure, m)
			continue
		}
		m.source.epoch.Await(func(current bool) { s.acknowledge([]*message{m}, current) })
	}
	s.acknowledge(sure, true)
}

// acknowledge sends the server the ack, nak or term of each message, and frees their
// room in the budget. An acknowledgement that gets lost does no harm: the
// message comes again, and its events are duplicates then. If the stream may be
// another, nothing is sent: its message of that number may be another message.
func (s *settler) acknowledge(messages []*message, current bool) {
	s.endLeases(messages)
	defer s.makeRoom(messages)
	var span traces.Settling
	for _, m := range messages {
		span.Add(m.source.traces, m.trace)
	}
	span.Begin(s.workCtx)
	var failed error
	for _, m := range messages {
		if err := m.answer(current); err != nil {
			failed = err
			s.log.Debug("acknowledgement not sent; the message will come again", zap.Error(err))
		}
	}
	span.End(failed)
}

func (s *settler) endLeases(messages []*message) {
	leases := make([]*lease.Lease, len(messages))
	for i, m := range messages {
		leases[i] = m.lease
	}
	s.leases.End(leases...)
}

func (s *settler) makeRoom(messages []*message) {
	admitted, bytes := 0, 0
	for _, m := range messages {
		if !m.admitted {
			s.budget.Free(1, m.bytes)
			continue
		}
		admitted++
		bytes += m.bytes
	}
	s.budget.Leave(admitted, bytes)
}

// dropLapsed drops events whose lease has lapsed, as their message may have
// been redelivered, and returns the others: their leases last until a request
// has ended.
func (s *settler) dropLapsed(events []*inFlight) []*inFlight {
	ours, lost := lease.Ensure(s.workCtx, s.leases, events, (*inFlight).lease,
		s.cfg.RequestTimeout+s.cfg.Streams.ToBegin())
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
