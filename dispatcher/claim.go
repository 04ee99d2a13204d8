package dispatcher

import (
	"context"
	"slices"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/claims"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
)

// claim asks Redis for the right to send the events, and settles those that
// may not be sent. Without an answer from Redis nothing is sent: it waits.
func (d *Dispatcher) claim(entries []*entry) (ours []*entry) {
	for len(entries) > 0 {
		asked := time.Now()
		answers := newClaimAnswers(d.claims.Claim(d.working, claimsOf(entries), min(claims.Timeout, d.cfg.Streams.ToBegin())), entries, asked)
		d.settleAll(answers.sent, duplicate)
		d.returnLater(answers.held, heldDelay)
		ours = append(ours, d.sendAgain(answers.maybeSent)...)
		ours = append(ours, answers.fresh...)
		if answers.err == nil {
			return ours
		}
		if d.claims.Await(d.taking) != nil {
			d.giveBack(answers.unknown)
			return ours
		}
		entries = d.stillOurs(answers.unknown)
	}
	return ours
}

// renewClaims claims again what is not young any more, so that the request ends
// before anybody else may send: halving and waiting take their time.
func (d *Dispatcher) renewClaims(entries []*entry) []*entry {
	if len(entries) == 0 || !d.grownOld(entries) {
		return entries
	}
	return d.claim(entries)
}

// grownOld tells that it is too late to begin a request on these claims.
func (d *Dispatcher) grownOld(entries []*entry) bool { return time.Now().After(d.latestBegin(entries)) }

// latestBegin is until when a request on these claims may be begun.
func (d *Dispatcher) latestBegin(entries []*entry) time.Time {
	oldest := slices.MinFunc(entries, func(a, b *entry) int { return a.claimedAt.Compare(b.claimedAt) })
	return oldest.claimedAt.Add(d.cfg.Streams.ToBegin())
}

// heldDelay is how long a message waits whose event somebody else has claimed:
// about a request's time.
const heldDelay = 2 * time.Second

// claimAnswers sorts entries by what Redis says of them.
type claimAnswers struct {
	fresh, maybeSent, held, sent, unknown []*entry

	err error
}

func newClaimAnswers(results []dedupe.Result, entries []*entry, asked time.Time) (a claimAnswers) {
	for i, e := range entries {
		state, renewed := results[i].State, e.certain
		e.claimed = state != dedupe.Held
		e.certain = e.claimed && state != dedupe.Failed
		switch {
		case state == dedupe.Fresh, state == dedupe.InheritedBefore && renewed:
			e.claimedAt = asked
			a.fresh = append(a.fresh, e)
		case state == dedupe.Inherited, state == dedupe.InheritedBefore:
			e.claimedAt = asked
			a.maybeSent = append(a.maybeSent, e)
		case state == dedupe.Held:
			a.held = append(a.held, e)
		case state == dedupe.Sent:
			a.sent = append(a.sent, e)
		default:
			a.unknown = append(a.unknown, e)
			a.err = results[i].Err
		}
	}
	return a
}

// sendAgain decides about events that a worker of before may have sent, and
// returns those that are to be sent.
func (d *Dispatcher) sendAgain(entries []*entry) []*entry {
	for _, e := range entries {
		e.history.maybeSent++
	}
	d.meters.maybeSent(entries)
	again, buried := d.byUnknownPolicy(entries)
	d.bury(buried)
	return again
}

// byUnknownPolicy splits events of unknown outcome: those to be sent again, and
// those for which that is ruled out.
func (d *Dispatcher) byUnknownPolicy(entries []*entry) (again, buried []*entry) {
	for _, e := range entries {
		if d.cfg.Delivery.OnUnknown == Resend && e.history.maybeSent < d.cfg.Delivery.MaxUnknown {
			again = append(again, e)
			continue
		}
		e.dead(deadletter.UnknownOutcome)
		buried = append(buried, e)
	}
	return again, buried
}

// release gives up the claims of events that this message will not send.
func (d *Dispatcher) release(entries []*entry) { d.claims.Release(d.taking, releasable(entries)) }

// releaseUnsent gives up the claims of events that were not sent for sure. The
// claim of an event that may have been sent stays: it is how the next delivery
// knows, or a copy of a dead letter.
func (d *Dispatcher) releaseUnsent(entries []*entry) {
	var unsent []*entry
	for _, e := range entries {
		if e.history.maybeSent == 0 {
			unsent = append(unsent, e)
		}
	}
	d.release(unsent)
}

// releasable are the claims that we have.
func releasable(entries []*entry) (claims []dedupe.Claim) {
	for _, e := range entries {
		if e.claimed {
			e.claimed = false
			claims = append(claims, e.claim())
		}
	}
	return claims
}

// confirm remembers events as sent, now or later.
func (d *Dispatcher) confirm(entries []*entry) {
	ctx, cancel := context.WithTimeout(d.taking, d.cfg.Streams.AckWait/3)
	defer cancel()
	d.claims.Confirm(ctx, claimsOf(entries))
}
