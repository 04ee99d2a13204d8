// Package dispatcher carries events from a JetStream stream to Meta.
//
// # The promise
//
// From the broker's acknowledgement on, every event ends accepted by Meta or in
// the dead-letter stream with the reason, and never anywhere else. None is sent
// twice, except where no protocol can prevent it: the request left and the
// answer did not come back. Such events are counted and marked, and
// [Delivery.OnUnknown] decides.
//
// # The path of an event
//
// Each stage is a type, and leads to the next:
//
//	puller    pull.go    pull messages, as many as there is room for
//	admitter  admit.go   decode, find the dataset, check     faulty → dead letter
//	(batcher)            gather per dataset and envelope
//	sender    deliver.go claim in Redis → POST
//	            duplicates drop out at the claim
//	            a refused batch is bisected until the culprit is alone (bisect.go)
//	            what may not be sent now is parked
//	settler   settle.go  store → confirm or release the claim → ack, nak or
//	                     terminate the message, once all its events are settled
//
// How an event leaves is a value, [outcome], and one function acts on it. What
// can be understood without the path is in a package below this one.
//
// # What becomes of an event
//
//	              ┌────────────── retry, in process ─────────────┐
//	              ▼                                              │
//	admitted → claimed → POST ─ accepted ─► confirmed ─► ack     │
//	   │          │        ├─ retry, throttled, unknown ─────────┤
//	   │          │        ├─ … for too long, or paused ─► parked │
//	   │          │        └─ refused, alone ─► dead letter
//	   │          ├─ sent before ─► ack (duplicate)
//	   │          └─ held by another delivery ─► nak with a delay
//	   ├─ the same identity is in flight already: wait for that one's outcome
//	   └─ faulty, too old, too large, no dataset ─► dead letter
//
// # Rules
//
// Nothing is acknowledged before its outcome is durable: confirmed in Redis,
// or published to the dead letters or the parked stream and acknowledged there.
// All of it begins in [settler.settle], and nowhere else.
//
// A POST ends, and is confirmed, before another delivery may claim its events:
// it is begun only on young claims, and older ones are renewed first (see
// package dedupe). The lease of every message is renewed while it is in flight,
// so that redeliveries are rare. A message whose lease has lapsed is dropped,
// neither sent nor nak'ed, because another worker may have it by now.
//
// What is in flight is bounded, by messages and by bytes, whatever the backlog.
// One dataset's trouble costs no other dataset its place: see packages
// batcher and breaker.
package dispatcher

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/claims"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/epoch"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/inflight"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/lease"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/notices"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/outlet"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/pacing"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/serverclock"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/storage"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// Dispatcher carries events from a stream to Meta. Create it with [New], run
// it once with [Dispatcher.Run].
type Dispatcher struct {
	*run

	// The stages of the path.
	puller   *puller
	admitter *admitter
	sender   *sender
	settler  *settler
	letters  *deadLetters

	// Where events wait for the next stage.
	lookups *batcher.Batcher[graph.Asset, *inFlight] // for their account's dataset
	batches *batcher.Batcher[lane, *inFlight]        // for a request to Meta
	exits   *batcher.Batcher[exit, []*inFlight]      // for another way out

	// What more than one stage goes by.
	gates    *gates
	budget   *inflight.Budget
	load     *inflight.Load
	backlog  *backlog
	leases   *lease.Keeper
	epochs   *epoch.Watch
	claims   *claims.Book
	breaker  *breaker.Breaker
	accounts *breaker.Accounts
	doubts   *breaker.Doubts[graph.ErrorCode]
	parking  *outlet.Outlet[leaving]

	// What looks after the streams beside the path.
	waker    *parked.Waker
	sweeper  *parked.Sweeper
	storage  *storage.Watch
	settings *streams.Settings
}

// run is what every stage goes by: the configuration, the clock, the counters, and
// when it all ends.
type run struct {
	cfg    Config
	deps   Deps
	log    *zap.Logger
	clock  *serverclock.Clock
	meters *meters
	spans  spans

	background sync.WaitGroup // what ends with workCtx
	deadline   atomic.Int64   // of the drain, in Unix nanoseconds

	// intakeCtx ends when the dispatcher is to stop: from then on nothing new is
	// begun, and nothing is retried after a wait. workCtx ends when what is in
	// flight has to be dropped as well.
	intakeCtx context.Context //nolint:containedctx // senders are called by the batcher, which knows nothing of it
	workCtx   context.Context //nolint:containedctx // likewise
}

// New returns a dispatcher with a valid configuration.
func New(cfg Config, batch batcher.Config, deps Deps) (*Dispatcher, error) {
	r, err := newRun(cfg, deps)
	if err != nil {
		return nil, err
	}
	d := &Dispatcher{
		run:      r,
		gates:    newGates(),
		budget:   inflight.NewBudget(cfg.Delivery.MaxInFlight, cfg.Delivery.MaxInFlightBytes),
		load:     inflight.NewLoad(),
		backlog:  &backlog{},
		leases:   lease.NewKeeper(deps.JetStream.Conn().FlushWithContext, cfg.Streams.AckWait),
		epochs:   newEpochs(deps.JetStream, r.log),
		breaker:  breaker.New(cfg.Delivery.Park, deps.Tokens, r.meters.datasets.Known),
		accounts: breaker.NewAccounts(cfg.Delivery.Park, graph.IsID),
		doubts:   breaker.NewDoubts[graph.ErrorCode](),
		settings: streams.NewSettings(cfg.Streams, deps.Log.With(zap.String("component", "settings"))),
	}
	d.claims = claims.NewBook(claims.Timed(deps.Claims, d.meters.ClaimTook), d.gates.redis, d.log)
	d.waker, d.sweeper = newWaker(d)
	d.storage = storage.New(deps.JetStream, deps.Log.With(zap.String("component", "storage")), d.watched()...)
	d.connect(batch)
	if err := errors.Join(d.observe(deps.Meter), d.storage.Observe(deps.Meter, d.clock.Now)); err != nil {
		return nil, err
	}
	return d, nil
}

func newRun(cfg Config, deps Deps) (*run, error) {
	clock := serverclock.New(deps.wallClock())
	meters, err := newMeters(&cfg, &deps, clock)
	log := deps.Log.With(zap.String("component", "dispatcher"))
	return &run{cfg: cfg, deps: deps, log: log, clock: clock, meters: meters, spans: newSpans(&cfg, &deps)}, err
}

// connect makes the stages and leads each to the next: from the last to the first.
func (d *Dispatcher) connect(batch batcher.Config) {
	identities := inflight.NewCoalescer((*inFlight).identity)
	d.parking = d.newOutlet(d.cfg.Streams.ParkedStream, "what has to be parked stays where it is")
	d.settler = &settler{
		run: d.run, claims: d.claims, load: d.load, leases: d.leases, budget: d.budget,
		identities: identities, parking: d.parking,
	}
	d.letters = &deadLetters{
		run: d.run, settler: d.settler, tally: notices.New[death, firstDeath](deathsEvery, deathKinds),
		outlet: d.newOutlet(d.cfg.Streams.DeadLetterStream, "dead letters are parked, as they are, and tried again"),
	}
	d.settler.letters = d.letters
	d.sender = &sender{
		run: d.run, settler: d.settler, breaker: d.breaker, accounts: d.accounts, doubts: d.doubts, pacer: pacing.New(),
		claims: d.claims, waker: d.waker, gates: d.gates, budget: d.budget, backlog: d.backlog,
	}
	d.batches, d.exits = d.newBatches(batch), d.newExits()
	d.settler.batches = d.batches
	d.admitter = &admitter{
		run: d.run, settler: d.settler, admission: admission.New(&d.cfg.Config, batch.MaxBytes, d.deps.Directory != nil),
		budget: d.budget, load: d.load, identities: identities, accounts: d.accounts, batches: d.batches, exits: d.exits,
		lookupTrouble: rate.Sometimes{First: 1, Interval: 10 * time.Second},
	}
	d.lookups = newLookups(d.admitter)
	d.admitter.lookups = d.lookups
	d.puller = &puller{
		run: d.run, settler: d.settler, admitter: d.admitter, budget: d.budget, leases: d.leases, epochs: d.epochs,
		gates: d.gates, backlog: d.backlog, claims: d.claims,
		clockTrouble: rate.Sometimes{First: 1, Interval: 10 * time.Minute},
	}
}

// lateAfter is how long a request takes before its sender may serve others: Meta
// answers most in a tenth of that.
const lateAfter = 2 * time.Second

// newBatches gathers events for requests to Meta.
func (d *Dispatcher) newBatches(cfg batcher.Config) *batcher.Batcher[lane, *inFlight] {
	delivery := d.cfg.Delivery
	// With half of what may be in flight waiting, half-filled batches would
	// soon hold all of it and wait for each other.
	mostWaiting := max(1, min(delivery.MaxInFlight, delivery.MaxInFlightBytes/eventOverhead)/2)
	return batcher.New(batcher.Options[lane, *inFlight]{
		Config:  cfg,
		Senders: delivery.Senders, SendersPerLane: delivery.SendersPerDataset,
		SendersPerLaneMax: delivery.SendersPerDatasetMax,
		LateAfter:         lateAfter,
		MaxWaiting:        mostWaiting,
		MaxWaitingBytes:   delivery.MaxInFlightBytes / 2, // large events use up the bytes first
		MaxWait:           delivery.MaxWait,
		Behind:            d.sender.behind,
		More:              func() bool { return d.backlog.events.Load()+d.backlog.parked.Load() >= int64(mostWaiting) },
		Overhead:          func(l lane) int { return graph.Overhead(l.envelope) },
		Send:              d.sender.deliver,
		Overflow:          d.sender.overflow,
	})
}

// newExits gathers events that leave for elsewhere.
func (d *Dispatcher) newExits() *batcher.Batcher[exit, []*inFlight] {
	return batcher.New(batcher.Options[exit, []*inFlight]{
		Config:  batcher.Config{MaxEvents: 1000, MaxBytes: 8 << 20},
		Senders: 4, SendersPerLane: 2,
		MaxWaiting: 1 << 30, MaxWait: time.Hour,
		Overhead: func(exit) int { return 0 },
		Send:     d.settler.leave,
		Overflow: func(exit, [][]*inFlight) {},
	})
}

// Run dispatches until ctx ends. Then it stops taking events, sends what it has
// within the drain timeout, gives the rest back, and returns nil. It returns an
// error when the streams are not as they have to be.
func (d *Dispatcher) Run(ctx context.Context) error {
	workCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	d.intakeCtx, d.workCtx = ctx, workCtx
	var intakes sync.WaitGroup
	defer func() {
		stop()
		d.background.Wait()
	}()
	d.background.Go(func() { d.claims.Watch(workCtx) })
	sources, err := d.puller.openStreams(ctx)
	if err != nil {
		d.lookups.Drain()
		d.batches.Drain()
		d.exits.Drain()
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	d.background.Go(func() { d.leases.Run(workCtx) })
	d.background.Go(func() { doubtOnReconnect(workCtx, d.deps.JetStream.Conn(), d.epochs) })
	d.background.Go(func() { d.claims.ConfirmLater(workCtx) })
	d.background.Go(func() { d.waker.Run(ctx) })
	d.background.Go(func() { d.lookAround(ctx) })
	d.background.Go(func() { d.storage.Run(ctx) })
	d.background.Go(func() { d.watchSlots(ctx) })
	d.gates.events.Open()
	d.gates.parked.Open()
	for _, source := range sources {
		intakes.Go(func() { d.puller.pullLoop(source) })
	}
	<-ctx.Done()
	d.log.Info("stopping: no new events are taken")
	d.deadline.Store(time.Now().Add(d.cfg.Delivery.DrainTimeout).UnixNano())
	grace := time.AfterFunc(d.cfg.Delivery.DrainTimeout, stop)
	defer grace.Stop()
	intakes.Wait()
	d.epochs.AskAlways()
	d.drain()
	return nil
}

// beside does work in the background, until workCtx ends.
func (r *run) beside(work func(ctx context.Context)) {
	r.background.Go(func() { work(r.workCtx) })
}

// drain lets everything in flight come to its end. What would wait for a retry
// is nak'ed instead, because intakeCtx has ended.
func (d *Dispatcher) drain() {
	d.lookups.Drain()
	d.batches.Drain()
	d.exits.Drain()
	d.claims.Flush(d.workCtx)
	d.letters.tellDeaths(d.letters.tally.All())
	const patience = 5 * time.Second
	d.epochs.Close(patience)
	if err := d.deps.JetStream.Conn().FlushTimeout(patience); err != nil {
		d.log.Warn("the last acknowledgements may not have reached NATS; what was sent is remembered in Redis", zap.Error(err))
	}
	d.log.Info("stopped", zap.Int("left_in_flight", d.leases.Count()))
}

// stopping reports whether nothing new may be begun.
func (r *run) stopping() bool { return r.intakeCtx.Err() != nil }

// timeLeft returns how long a stopping dispatcher may still go on.
func (r *run) timeLeft() time.Duration {
	if at := r.deadline.Load(); at != 0 {
		return time.Until(time.Unix(0, at))
	}
	return r.cfg.Delivery.DrainTimeout // it begins to stop this very moment
}

// pastDeadline reports whether requests in flight have been cut off.
func (r *run) pastDeadline() bool { return r.workCtx.Err() != nil }
