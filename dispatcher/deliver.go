package dispatcher

import (
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
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
	defer func() { s.permit.Release() }()
	s.send(d.claim(entries))
	s.resolve()
}

// shipment is the delivery of one batch.
type shipment struct {
	*Dispatcher

	batch   *batcher.Batch[lane, *entry]
	lane    lane
	permit  *breaker.Permit // nil until there is one
	token   string          // fingerprint of the one that the last request was made with
	posted  time.Time       // when that was
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
	return &shipment{Dispatcher: d, batch: batch, lane: batch.Lane, backoff: backoff.NewExponentialBackOff(
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
