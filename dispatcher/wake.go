package dispatcher

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
)

// What waits for a dataset is called back before its time once the dataset has
// recovered. docs/delivery.md says why it is safe; package parked does it.

// lookEvery is how often somebody looks for what is to be done now and again.
const lookEvery = time.Second

// newWaker returns what brings parked events back before their time, and what
// looks for those that NATS has forgotten.
func newWaker(d *Dispatcher) (*parked.Waker, *parked.Sweeper) {
	streams := &d.cfg.Streams
	waker := parked.NewWaker(parked.Config{
		Events: parked.NewStream(d.deps.JetStream, d.deps.Rights, streams.ParkedStream, d.parkedSubjects()),
		Path:   wayBack{d}, Waits: d.waits(), Clock: d.clock, Log: d.log,
	})
	return waker, parked.NewSweeper(waker, d.parkedSubjects(), d.turnToSweep, streams.ClaimLease())
}

// wayBack is the path of an event as seen by what calls events back.
type wayBack struct{ *Dispatcher }

// Blocked reports whether a dataset is in trouble.
func (w wayBack) Blocked(dataset string) bool { return !w.breaker.TurnAway(dataset, nil).IsZero() }

// AcceptedAt returns when Meta last accepted an event of a dataset.
func (w wayBack) AcceptedAt(dataset string) time.Time { return w.doubts.AcceptedAt(dataset) }

// TakesMore reports whether more events of a dataset may be called back: there is
// room for them, and what has been called back before is no more than the
// dataset's senders will soon have carried away.
func (w wayBack) TakesMore(dataset string) bool {
	most := max(parked.Page, min(w.cfg.Delivery.MaxInHand/4, 4*parked.Page))
	due := int(w.backlog.parked.Load())
	return !w.budget.Short() && due <= parked.Page && w.load.Of(dataset)+due <= most
}

// Woken counts events that were called back.
func (w wayBack) Woken(dataset string, events int) { w.meters.calledBack(dataset, events) }

// turnToSweep asks for the turn to look for overdue events. The claim in Redis
// ends by itself if the worker does.
func (d *Dispatcher) turnToSweep(ctx context.Context) (end func(), ours bool) {
	turn := []dedupe.Claim{{
		Key:   dedupe.NewKey(d.cfg.Streams.Consumer, "sweep", d.cfg.Streams.ParkedStream),
		Owner: dedupe.NewOwner(1, 1), Holder: dedupe.NewHolder(),
	}}
	if state := d.deps.Claims.Claim(ctx, turn)[0].State; state == dedupe.Held || state == dedupe.Failed {
		return nil, false
	}
	return func() { _, _ = d.deps.Claims.Release(context.WithoutCancel(ctx), turn) }, true
}

// recovered calls back what waits for a dataset once its events are accepted:
// when that ends a trouble of the dataset's; when the accepted event was parked
// itself, maybe by another worker; and at the dataset's first success, for a
// worker that has just begun knows of no troubles.
func (s *shipment) recovered(entries []*entry) {
	for _, dataset := range s.breaker.RecordSuccess(s.lane.dataset, s.token, s.posted) {
		s.log.Info("the dataset's events are sent again", zap.String("dataset", dataset))
		s.waker.Wake(parked.Group{Dataset: dataset})
	}
	whole, unlinked := parked.Group{Dataset: s.lane.dataset}, parked.Group{Dataset: s.lane.dataset, Unlinked: true}
	if !s.waker.EverAsked(whole) || anyParkedFor(entries, whole) && !s.waker.AskedLately(whole) {
		s.waker.Wake(whole)
	}
	if s.linked(entries) || anyParkedFor(entries, unlinked) && !s.waker.AskedLately(unlinked) {
		s.waker.Wake(unlinked)
	}
}

func anyParkedFor(entries []*entry, group parked.Group) bool {
	for _, e := range entries {
		if group.Covers(e.history.parkedFor) {
			return true
		}
	}
	return false
}

// lookAround does what is to be done now and again, until ctx ends.
func (d *Dispatcher) lookAround(ctx context.Context) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			d.tryAgain(ctx)
			d.sweeper.Sweep(ctx)
			d.forgetRefusals()
			d.tellDeaths(d.deaths.Due())
		case <-ctx.Done():
			return
		}
	}
}

// tryAgain calls one event back of each dataset that is to be tried, or a few
// where it is not known whose fault it is that they are refused.
func (d *Dispatcher) tryAgain(ctx context.Context) {
	try, free := d.breaker.TakeProbes()
	for _, dataset := range free {
		d.waker.Wake(parked.Group{Dataset: dataset})
	}
	for _, dataset := range try {
		d.log.Debug("an event is called back to try the dataset again", zap.String("dataset", dataset))
		if err := d.tryDataset(ctx, parked.Group{Dataset: dataset}); err != nil && ctx.Err() == nil {
			d.log.Warn("no parked event could be called back for a trial; it comes back at its own time",
				zap.String("dataset", dataset), zap.Error(err))
		}
	}
}

func (d *Dispatcher) tryDataset(ctx context.Context, group parked.Group) error {
	if d.doubts.Exist(group.Dataset) {
		return d.waker.TryFew(ctx, group, breaker.Handful)
	}
	return d.waker.TryOne(ctx, group)
}
