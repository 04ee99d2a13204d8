package dispatcher

import (
	"context"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/lease"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// deliver carries one batch to its end: when it returns, every event in it is
// settled. Batches are delivered concurrently.
func (d *Dispatcher) deliver(batch *batcher.Batch[lane, *entry]) {
	s := d.newShipment(batch)
	entries := d.stillOurs(batch.Items)
	entries, late := inTime(entries, d.clock.Now())
	d.expire(d.claim(late))
	entries = s.enter(entries)
	defer func() { s.pass.leave() }()
	s.send(d.claim(entries))
	s.resolve()
}

// shipment is the delivery of one batch.
type shipment struct {
	*Dispatcher

	batch   *batcher.Batch[lane, *entry]
	lane    lane
	pass    *pass
	token   string    // fingerprint of the one that the last request was made with
	posted  time.Time // when that was
	backoff *backoff.ExponentialBackOff
	// cautious sends the next event alone, to find out with the least harm
	// whether requests are answered again.
	cautious bool
	// trouble is what keeps the rest of the batch from being sent.
	trouble *graph.Answer
	// suspicion is that it may be no event's fault that they are refused.
	suspicion *suspicion
	// misled: Meta has named an event that it takes, so its hints count for
	// nothing in this batch.
	misled bool
}

func (d *Dispatcher) newShipment(batch *batcher.Batch[lane, *entry]) *shipment {
	retry := d.cfg.Delivery.Retry
	return &shipment{Dispatcher: d, batch: batch, lane: batch.Lane, pass: &pass{}, backoff: backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(retry.Initial),
		backoff.WithMaxInterval(retry.Max),
		backoff.WithMultiplier(2),
		// 0 would mean no bound at all.
		backoff.WithMaxElapsedTime(max(retry.Budget, 1)),
	)}
}

// stillOurs lets go of events whose message may be somebody else's by now.
func (d *Dispatcher) stillOurs(entries []*entry) []*entry {
	ours, lost := lease.Ensure(d.working, d.leases, entries, (*entry).lease, d.cfg.RequestTimeout+d.cfg.Streams.ToBegin())
	d.drop(lost)
	return ours
}

// inTime splits events by whether Meta would still take them: one event too
// old would sink the whole request.
func inTime(entries []*entry, now time.Time) (fresh, late []*entry) {
	for _, e := range entries {
		if now.After(e.event.ExpiresAt()) {
			late = append(late, e)
		} else {
			fresh = append(fresh, e)
		}
	}
	return fresh, late
}

// expire dead-letters events for their age. They have been claimed, so they
// are no copies of events that were sent in time.
func (d *Dispatcher) expire(entries []*entry) {
	now := d.clock.Now()
	for _, e := range entries {
		e.dead(deadletter.Expired)
		if fault := e.event.CheckTime(now); fault != nil {
			e.dead(deadletter.Expired, *fault)
		}
	}
	d.bury(entries)
}

// claim asks Redis for the right to send the events, and settles those that
// may not be sent. Without an answer from Redis nothing is sent: it waits.
func (d *Dispatcher) claim(entries []*entry) (ours []*entry) {
	for len(entries) > 0 {
		asked := time.Now()
		answers := newClaimAnswers(d.askForClaims(entries), entries, asked)
		d.settleAll(answers.sent, duplicate)
		d.returnLater(answers.held, heldDelay)
		ours = append(ours, d.sendAgain(answers.maybeSent)...)
		ours = append(ours, answers.fresh...)
		if answers.err == nil {
			return ours
		}
		d.redisFailed(answers.err)
		if d.gates.redis.AwaitOpen(d.taking) != nil {
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

// askForClaims waits no longer than an answer is of use.
func (d *Dispatcher) askForClaims(entries []*entry) []dedupe.Result {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.working), min(redisTimeout, d.cfg.Streams.ToBegin()))
	defer cancel()
	return d.deps.Claims.Claim(ctx, claimsOf(entries))
}

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
