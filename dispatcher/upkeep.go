package dispatcher

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/epoch"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/storage"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
)

// gates are what readiness asks for.
type gates struct {
	events *health.Gate // events can be pulled
	parked *health.Gate // parked events can be pulled
	redis  *health.Gate // claims can be made
	graph  *health.Gate // connections to Meta come about
	slots  *health.Gate // there is room in the consumers for what finds no way out
}

func newGates() *gates {
	return &gates{
		events: health.NewUncheckedGate(), parked: health.NewUncheckedGate(), redis: health.NewUncheckedGate(),
		graph: health.NewGate(),
		slots: health.NewOpenGate(), // nothing is held in the beginning
	}
}

// Conditions returns the conditions for events to flow, each with whether it
// holds.
func (d *Dispatcher) Conditions() []health.Condition {
	return append(d.flow(), d.storageCondition(), d.overdueCondition(), d.settings.Condition(), d.workersCondition(),
		d.accounts.Condition())
}

// flow lists what has to hold for events to flow.
func (d *Dispatcher) flow() []health.Condition {
	conn := d.deps.JetStream.Conn()
	server := health.Condition{Name: "nats", OK: conn.IsConnected()}
	if !server.OK {
		server.Reason = "not connected: " + conn.Status().String()
	}
	return []health.Condition{
		server,
		d.gates.events.Condition("events"),
		d.gates.parked.Condition("parked"),
		d.gates.redis.Condition("redis"),
		d.gates.graph.Condition("graph"),
		d.exitsCondition(),
		d.gates.slots.Condition("slots"),
	}
}

// exitsCondition says whether events can leave otherwise than for Meta. Dead
// letters that are refused are parked meanwhile: that keeps no events from
// flowing.
func (d *Dispatcher) exitsCondition() health.Condition {
	letters, parking := d.letters.outlet.Gate.Condition("exits"), d.parking.Gate.Condition("exits")
	switch {
	case letters.Blocks() && parking.Blocks():
		parking.Reason = letters.Reason + "; " + parking.Reason
		return parking
	case letters.Blocks():
		letters.Warning = true
		return letters
	case parking.OK && letters.Reason == "":
		return letters // it has been tried
	default:
		return parking
	}
}

// overdueCondition says whether NATS brings parked events back.
func (d *Dispatcher) overdueCondition() health.Condition {
	c := health.Condition{Name: "overdue", OK: true, Warning: true}
	if left := d.sweeper.Overdue(); left > 0 {
		c.OK, c.Reason = false, fmt.Sprintf("NATS has not brought %d parked events back in time, and they could not be called back", left)
	}
	return c
}

// storageCondition says whether there is room in NATS.
func (d *Dispatcher) storageCondition() health.Condition {
	reason, since := d.storage.Filling()
	return health.Condition{Name: "storage", OK: reason == "", Warning: true, Reason: reason, Since: since}
}

// workersCondition says whether other workers have other settings.
func (d *Dispatcher) workersCondition() health.Condition {
	if c := d.puller.others.events.Condition(); !c.OK {
		return c
	}
	return d.puller.others.parked.Condition()
}

// newEpochs watches that no message is acknowledged for one of another stream.
func newEpochs(js jetstream.JetStream, log *zap.Logger) *epoch.Watch {
	look := func(ctx context.Context, name string) (*jetstream.StreamInfo, error) {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return nil, err
		}
		return stream.CachedInfo(), nil
	}
	return epoch.New(look, func(stream string) {
		log.Warn("the stream has been deleted, created anew or set back; what is in flight of the old one is sent, if it still can be, and neither acknowledged nor given back",
			zap.String("stream", stream))
	})
}

// seen is called with a stream's info at each look at it.
func (d *Dispatcher) seen(info *jetstream.StreamInfo) {
	d.epochs.Heard(info)
	d.settings.Look(info)
	if info.Config.Name == d.cfg.Streams.ParkedStream && info.State.Msgs == 0 {
		d.meters.oldest.Clear()
	}
}

// doubtOnReconnect asks the streams whenever the connection has been away: what
// comes back may be another server.
func doubtOnReconnect(ctx context.Context, conn *nats.Conn, epochs *epoch.Watch) {
	changes := conn.StatusChanged(nats.RECONNECTING, nats.CONNECTED)
	defer conn.RemoveStatusListener(changes)
	for {
		select {
		case <-changes:
			epochs.Doubt()
		case <-ctx.Done():
			return
		}
	}
}

// slotsEvery is how often the number of held messages is looked at, while there
// are any.
const slotsEvery = 2 * time.Second

// watchSlots looks how many messages find no way out, until ctx ends: one that
// is given back to wait keeps its place among those that a consumer may have
// under way, and once they are all held, no other is delivered.
func (d *Dispatcher) watchSlots(ctx context.Context) {
	ticker := time.NewTicker(slotsEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		held := d.heldSlots(ctx)
		if held == "" && d.gates.slots.Open() {
			d.log.Info("there is room again in the consumers")
		}
		if held != "" && d.gates.slots.Shut(held) {
			d.log.Error("events that can be neither parked nor dead-lettered are in the way of others", zap.String("reason", held))
		}
	}
}

// heldSlots says which consumers have half of what they may have under way, or
// more, although it is not in flight here: "" is none. What other workers have in
// hand is taken for held, too, while parking fails.
func (d *Dispatcher) heldSlots(ctx context.Context) string {
	if d.parking.Gate.IsOpen() {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var reasons []string
	for _, stream := range []string{d.cfg.Streams.Stream, d.cfg.Streams.ParkedStream} {
		consumer, err := d.deps.JetStream.Consumer(ctx, stream, d.cfg.Streams.Consumer)
		if err != nil {
			continue // another condition says so
		}
		info := consumer.CachedInfo()
		most := info.Config.MaxAckPending
		if held := info.NumAckPending - d.leases.Count(); most > 0 && 2*held >= most {
			reasons = append(reasons, fmt.Sprintf("%d of the %d messages that the workers may have under way of stream %s (%s) "+
				"can be neither parked nor dead-lettered; when all are, no event of any dataset is delivered", held, most, stream, d.cfg.Streams.Setting("max_ack_pending")))
		}
	}
	return strings.Join(reasons, "; ")
}

// watched lists the streams that are looked at regularly.
func (d *Dispatcher) watched() []storage.Stream {
	s := d.cfg.Streams
	return []storage.Stream{
		{Name: s.Stream, Label: "events", Subject: s.Subject, Consumer: s.Consumer, Seen: d.seen},
		{Name: s.ParkedStream, Label: "parked", Consumer: s.Consumer, Seen: d.seen},
		{Name: s.DeadLetterStream, Label: "dead_letters", Subject: s.DeadLetterSubject, Seen: d.seen},
	}
}

// troubles lists the datasets whose events wait.
func (d *Dispatcher) troubles() []breaker.Trouble {
	accounts := d.accounts.Troubles()
	for i := range accounts {
		accounts[i].Dataset = cmp.Or(accounts[i].Dataset, admission.Auto)
	}
	return append(d.breaker.Troubles(), accounts...)
}

// What waits for a dataset is called back before its time once the dataset has
// recovered. docs/delivery.md says why it is safe; package parked does it.

// lookEvery is how often the upkeep looks for work that is due.
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

// HasRoom reports whether more events may be called back.
func (w wayBack) HasRoom() bool { return !w.budget.Short() && w.backlog.parked.Load() <= parked.Page }

// TakesMore reports whether more events of a dataset may be called back: what has
// been called back before is no more than the dataset's senders will soon have
// carried away.
func (w wayBack) TakesMore(dataset string) bool {
	most := max(parked.Page, min(w.cfg.Delivery.MaxInFlight/4, 4*parked.Page))
	return w.load.Of(dataset)+int(w.backlog.parked.Load()) <= most
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
			d.letters.tellDeaths(d.letters.tally.Due())
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

// forgetRefusals opens the gates again of streams that have taken, or needed, no
// more of what they had refused.
func (d *Dispatcher) forgetRefusals() {
	park, ackWait := d.cfg.Delivery.Park, d.cfg.Streams.AckWait
	d.letters.outlet.Forget(min(park.Max, streams.LettersDuplicates/2) + ackWait)
	d.parking.Forget(2*park.Initial + ackWait)
}
