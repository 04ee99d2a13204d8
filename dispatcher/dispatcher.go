package dispatcher

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/epoch"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/inflight"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/notices"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/rights"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/serverclock"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/storage"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/directory"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// Sender posts one request to Meta, once.
type Sender interface {
	Send(ctx context.Context, request graph.Request) graph.Answer
}

// Claims keeps who may send an event and what has been sent.
type Claims interface {
	Claim(ctx context.Context, claims []dedupe.Claim) []dedupe.Result
	Confirm(ctx context.Context, claims []dedupe.Claim) (left []dedupe.Claim, err error)
	Release(ctx context.Context, claims []dedupe.Claim) (left []dedupe.Claim, err error)
	Check(ctx context.Context) error
}

// Tokens tells when a dataset's access token is replaced, and which datasets
// have one of their own.
type Tokens interface {
	Fingerprint(dataset string) string
	Owns(dataset string) bool
}

// Directory finds the datasets of accounts: a [directory.Directory].
type Directory interface {
	// Recall returns what is in memory, at once.
	Recall(asset graph.Asset) (finding directory.Finding, known bool)
	// Find finds it out, or gives up when ctx ends.
	Find(ctx context.Context, asset graph.Asset) directory.Finding
}

// Deps are the things a dispatcher works with.
type Deps struct {
	JetStream jetstream.JetStream
	Rights    *rights.Watch // what NATS denies to the connection; nil: nobody knows
	Claims    Claims
	Graph     Sender
	Tokens    Tokens
	Secrets   event.Secrets // kept out of what is stored and sent; may be nil
	Directory Directory     // nil: only the configured accounts are known
	// Now is the wall clock; nil is [time.Now].
	Now    func() time.Time
	Log    *zap.Logger
	Tracer trace.Tracer
	Meter  metric.Meter
}

func (d *Deps) wallClock() func() time.Time {
	if d.Now == nil {
		return time.Now
	}
	return d.Now
}

// Dispatcher carries events from a stream to Meta. Create it with [New], run
// it once with [Dispatcher.Run].
type Dispatcher struct {
	cfg  Config
	deps Deps
	log  *zap.Logger

	admission  *Admission
	budget     *inflight.Budget
	load       *inflight.Load
	clock      *serverclock.Clock
	backlog    backlog
	others     struct{ events, parked others }
	leases     *leases
	epochs     *epoch.Watch
	identities *identities
	breaker    *breaker
	accounts   *accounts
	doubts     *doubts
	quota      *quota
	recalls    *recalls
	health     *health
	meters     *meters
	confirms   *confirms
	storage    *storage.Watch
	settings   *settings
	unreached  atomic.Int64 // connections in a row that did not come about
	deadline   atomic.Int64 // of the drain, in Unix nanoseconds

	letters, parking *outlet // where events go that do not go to Meta
	deaths           *notices.Tally[death, firstDeath]

	batches *batcher.Batcher[lane, *entry]        // on their way to Meta
	exits   *batcher.Batcher[exit, []*entry]      // on their way out, from admit
	lookups *batcher.Batcher[graph.Asset, *entry] // waiting for their account's dataset

	lookupTrouble rate.Sometimes // is logged
	clockTrouble  rate.Sometimes // likewise
	moved         moved
	sweeper       sweeper

	background sync.WaitGroup // what ends with working

	// taking ends when the dispatcher is to stop: from then on nothing new is
	// begun and nobody waits for better times. working ends when what is in
	// hand has to be let go as well.
	taking  context.Context //nolint:containedctx // senders are called by the batcher, which knows nothing of it
	working context.Context //nolint:containedctx // likewise
}

// New returns a dispatcher with a valid configuration.
func New(cfg Config, batch batcher.Config, deps Deps) (*Dispatcher, error) {
	clock := serverclock.New(deps.wallClock())
	meters, err := newMeters(&cfg, &deps, clock)
	if err != nil {
		return nil, err
	}
	d := &Dispatcher{
		cfg: cfg, deps: deps, log: deps.Log.With(zap.String("component", "dispatcher")),
		admission:  NewAdmission(&cfg, batch, deps.Directory != nil),
		budget:     inflight.NewBudget(cfg.Delivery.MaxInHand, cfg.Delivery.MaxInHandBytes),
		load:       inflight.NewLoad(),
		clock:      clock,
		leases:     newLeases(deps.JetStream.Conn(), cfg.Streams.AckWait),
		identities: newIdentities(),
		breaker:    newBreaker(cfg.Delivery.Park, deps.Tokens, meters.datasets.Known),
		accounts:   newAccounts(cfg.Delivery.Park),
		doubts:     newDoubts(),
		quota:      newQuota(),
		recalls:    newRecalls(),
		health:     newHealth(),
		meters:     meters,
		confirms:   newConfirms(),
		settings:   newSettings(cfg.Streams, deps.Log.With(zap.String("component", "settings"))),

		deaths:        notices.New[death, firstDeath](deathsEvery, deathKinds),
		lookupTrouble: rate.Sometimes{First: 1, Interval: 10 * time.Second},
		clockTrouble:  rate.Sometimes{First: 1, Interval: 10 * time.Minute},
	}
	d.letters = d.newOutlet(cfg.Streams.DeadLetterStream, "dead letters are parked, as they are, and tried again")
	d.parking = d.newOutlet(cfg.Streams.ParkedStream, "what has to be parked stays where it is")
	d.epochs = newEpochs(deps.JetStream, d.log)
	d.storage = storage.New(deps.JetStream, deps.Log.With(zap.String("component", "storage")), cfg.Streams.watched(d.seen)...)
	d.startBatchers(batch)
	if err := errors.Join(d.observe(deps.Meter), d.storage.Observe(deps.Meter)); err != nil {
		return nil, err
	}
	return d, nil
}

// lateAfter is how long a request takes before its sender may serve others: Meta
// answers most in a tenth of that.
const lateAfter = 2 * time.Second

func (d *Dispatcher) startBatchers(cfg batcher.Config) {
	delivery := d.cfg.Delivery
	d.batches = batcher.New(batcher.Options[lane, *entry]{
		Config:  cfg,
		Senders: delivery.Senders, SendersPerLane: delivery.SendersPerDataset, SendersPerLaneMax: delivery.SendersPerDatasetMax,
		LateAfter: lateAfter,
		// With half of what may be in hand waiting, half-filled batches would
		// soon hold all of it and wait for each other.
		MaxWaiting: max(1, min(delivery.MaxInHand, delivery.MaxInHandBytes/eventOverhead)/2),
		MaxWait:    delivery.MaxWait,
		Behind:     d.behind,
		Overhead:   func(l lane) int { return graph.Overhead(l.envelope) },
		Send:       d.deliver,
		Overflow:   d.overflow,
	})
	d.exits = batcher.New(batcher.Options[exit, []*entry]{
		Config:  batcher.Config{MaxEvents: 1000, MaxBytes: 8 << 20},
		Senders: 4, SendersPerLane: 2,
		MaxWaiting: 1 << 30, MaxWait: time.Hour,
		Overhead: func(exit) int { return 0 },
		Send:     d.leave,
		Overflow: func(exit, [][]*entry) {},
	})
	d.lookups = newLookups(d)
}

// Run dispatches until ctx ends. Then it stops taking events, sends what it has
// within the drain timeout, gives the rest back, and returns nil. It returns an
// error when the streams are not as they have to be.
func (d *Dispatcher) Run(ctx context.Context) error {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	d.taking, d.working = ctx, working
	var intakes sync.WaitGroup
	defer func() {
		stop()
		d.background.Wait()
	}()
	d.background.Go(func() { d.watchRedis(working) })
	sources, err := d.openStreams(ctx)
	if err != nil {
		d.lookups.Drain()
		d.batches.Drain()
		d.exits.Drain()
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	d.background.Go(func() { d.leases.run(working) })
	d.background.Go(func() { doubtOnReconnect(working, d.deps.JetStream.Conn(), d.epochs) })
	d.background.Go(func() { d.confirmLater(working) })
	d.background.Go(func() { d.callBack(ctx) })
	d.background.Go(func() { d.storage.Run(ctx) })
	d.background.Go(func() { d.watchSlots(ctx) })
	d.health.events.open()
	d.health.parked.open()
	for _, source := range sources {
		intakes.Go(func() { d.take(source) })
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

// beside does work that nobody waits for, until working ends.
func (d *Dispatcher) beside(work func(ctx context.Context)) {
	d.background.Go(func() { work(d.working) })
}

// drain lets everything in hand come to its end. Whoever could wait sees that
// taking has ended and gives back instead.
func (d *Dispatcher) drain() {
	d.lookups.Drain()
	d.batches.Drain()
	d.exits.Drain()
	d.flushConfirms()
	d.tellDeaths(d.deaths.All())
	const patience = 5 * time.Second
	d.epochs.Close(patience)
	if err := d.deps.JetStream.Conn().FlushTimeout(patience); err != nil {
		d.log.Warn("the last acknowledgements may not have reached NATS; what was sent is remembered in Redis", zap.Error(err))
	}
	d.log.Info("stopped", zap.Int("left_in_hand", d.leases.count()))
}

// stopping tells that nothing new may be begun.
func (d *Dispatcher) stopping() bool { return d.taking.Err() != nil }

// timeLeft tells how long a stopping dispatcher may still go on.
func (d *Dispatcher) timeLeft() time.Duration {
	if at := d.deadline.Load(); at != 0 {
		return time.Until(time.Unix(0, at))
	}
	return d.cfg.Delivery.DrainTimeout // it begins to stop this very moment
}

// pastDeadline tells that requests in flight have been cut off.
func (d *Dispatcher) pastDeadline() bool { return d.working.Err() != nil }
