package dispatcher

import (
	"time"

	"github.com/cenkalti/backoff/v4"
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// send carries claimed events to their outcomes.
func (s *shipment) send(entries []*entry) {
	for len(entries) > 0 {
		if s.trouble != nil {
			s.hold(entries, *s.trouble)
			return
		}
		if s.suspicion != nil {
			s.suspicion.untried = append(s.suspicion.untried, entries...)
			return
		}
		part, rest := s.firstPart(entries)
		part, answer := s.try(part)
		switch {
		case len(part) == 0: // let go while waiting
		case answer.Verdict == graph.Accepted:
			s.accept(part)
		case blamesEvents(answer):
			s.halve(part, answer)
		case answer.Verdict == graph.Unknown:
			rest = append(s.doubt(part, answer), rest...)
		default:
			s.hold(part, answer)
		}
		entries = rest
	}
}

// firstPart is what goes into the next request.
func (s *shipment) firstPart(entries []*entry) (part, rest []*entry) {
	if s.cautious {
		return entries[:1:1], entries[1:]
	}
	return entries, nil
}

// blamesEvents tells that some of a request's events are at fault, and the
// others are not.
func blamesEvents(answer graph.Answer) bool {
	return answer.Verdict == graph.Refused || answer.PerAsset
}

// accept remembers events as sent, and settles them.
func (s *shipment) accept(entries []*entry) {
	s.cautious = false
	s.doubts.RecordAcceptance(s.lane.dataset, s.clock.Now())
	s.recovered(entries)
	s.confirm(entries)
	s.settleAll(entries, accepted)
}

// try posts until there is a verdict that waiting would not change, or until
// the time for waiting is up. It returns the events that were posted last:
// others have been let go.
func (s *shipment) try(entries []*entry) ([]*entry, graph.Answer) {
	for {
		if s.noTimeFor(entries) || s.mustWait(entries) {
			return nil, graph.Answer{}
		}
		entries = s.stillSendable(entries)
		if len(entries) == 0 {
			return nil, graph.Answer{}
		}
		if s.grownOld(entries) {
			continue // something has held us up
		}
		answer := s.post(entries)
		if answer.Verdict == graph.Accepted || blamesEvents(answer) {
			s.backoff.Reset() // Meta has judged the events; what comes next begins anew
		}
		wait, again := s.patience(answer)
		if !again {
			return entries, answer
		}
		if answer.Verdict == graph.Throttled {
			s.breaker.Pause(s.lane.dataset, s.token, answer.AppWide(), wait)
		}
		if s.batch.Rest(s.taking, wait) != nil {
			return entries, answer
		}
	}
}

// stillSendable lets go of what time has overtaken: events whose message may be
// somebody else's by now, events that Meta would refuse for their age, and
// events of accounts that have turned out not to be linked.
func (s *shipment) stillSendable(entries []*entry) []*entry {
	entries, late := inTime(s.stillOurs(entries), s.clock.Now())
	s.expire(s.renewClaims(late))
	return s.renewClaims(s.enterAccounts(entries))
}

// noTimeFor gives events back if the dispatcher is stopping and a request
// might not end before the drain deadline.
func (s *shipment) noTimeFor(entries []*entry) bool {
	if !s.stopping() || s.timeLeft() > s.cfg.RequestTimeout {
		return false
	}
	s.giveBack(entries)
	return true
}

// patience tells whether waiting helps, and how long to wait: our own backoff,
// or longer if Meta says so.
func (s *shipment) patience(answer graph.Answer) (wait time.Duration, again bool) {
	if answer.Verdict != graph.Retry && answer.Verdict != graph.Throttled || s.stopping() {
		return 0, false
	}
	next := s.backoff.NextBackOff()
	wait = max(next, askedDelay(answer))
	left := s.cfg.Delivery.Retry.Budget - s.backoff.GetElapsedTime()
	return wait, next != backoff.Stop && wait <= left
}

// askedDelay is how long Meta wants us to wait.
func askedDelay(answer graph.Answer) time.Duration {
	if answer.Verdict != graph.Throttled {
		return answer.RetryAfter
	}
	return max(answer.RetryAfter, answer.Usage.Regain)
}

// doubt deals with events that Meta may have or not. What may be sent again is
// returned; the next request then carries one event alone.
func (s *shipment) doubt(entries []*entry, answer graph.Answer) (again []*entry) {
	for _, e := range entries {
		e.history.maybeSent++
		e.answer = &answer
	}
	s.meters.maybeSent(entries)
	if s.pastDeadline() {
		// We cut the request off ourselves. The claims stay, so that the
		// next worker knows that the events may have been sent.
		s.settleAll(entries, returned)
		return nil
	}
	again, buried := s.byUnknownPolicy(entries)
	s.bury(buried)
	s.cautious = true
	wait := s.backoff.NextBackOff()
	if wait == backoff.Stop || s.batch.Rest(s.taking, max(wait, answer.RetryAfter)) != nil {
		s.hold(again, answer)
		return nil
	}
	return again
}

// hold parks events that may not be sent for now, and keeps others of the
// dataset from trying the same.
func (s *shipment) hold(entries []*entry, answer graph.Answer) {
	if s.stopping() {
		s.giveBack(entries)
		return
	}
	s.trouble = &answer
	for _, e := range entries {
		e.answer = &answer
	}
	until, news := s.breaker.RecordFailure(breaker.Failure{
		Dataset: s.lane.dataset, Token: s.token, AppWide: answer.AppWide(), Reason: reasonOf(answer.Verdict), Wait: askedDelay(answer),
	})
	if news {
		s.log.Warn("the dataset's events wait", zap.String("dataset", s.lane.dataset), zap.Bool("app_wide", answer.AppWide()),
			zap.Time("until", until), zap.String("reason", answer.Reason()))
	}
	s.parkUntil(entries, parkedFor(answer.Verdict), s.forLong(until))
}
