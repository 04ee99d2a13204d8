package dispatcher

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/directory"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// Events on Subject.auto whose account is not configured wait here until Meta
// has told the account's dataset. The intake only looks into memory: what it
// does not find there it hands over and goes on, so nobody's events wait behind
// a question to Meta. A lane is an account, so its events wait together and ask
// once, and other accounts' events do not wait for them.
//
// Waiting events use up room that the intake needs. So they are in hand for
// lookupPatience at the most; then they are parked, while the question goes on.
// When they come back, its answer is in memory or in Redis. Events that come
// meanwhile are parked at once. So a slow account,
// or a thousand, costs the others some seconds' room and no more.

const (
	// lookupPatience is how long an event in hand waits for an answer. Meta
	// mostly needs less than a second.
	lookupPatience = 2 * time.Second
	// lookupsAtOnce is how many accounts' events wait at a time. Those that
	// find no place within a second are parked at once.
	lookupsAtOnce = 64
)

func newLookups(d *Dispatcher) *batcher.Batcher[graph.Asset, *entry] {
	return batcher.New(batcher.Options[graph.Asset, *entry]{
		Config:  batcher.Config{MaxEvents: 1000, MaxBytes: 8 << 20, Linger: 200 * time.Millisecond},
		Senders: lookupsAtOnce, SendersPerLane: 1,
		MaxWaiting: 1, MaxWait: time.Second,
		Overhead: func(graph.Asset) int { return 0 },
		Send:     func(batch *batcher.Batch[graph.Asset, *entry]) { d.lookUp(batch.Lane, batch.Items) },
		Overflow: func(asset graph.Asset, entries []*entry) {
			d.parkUnfound(asset, entries, directory.Finding{Err: directory.ErrPending, Until: time.Now().Add(lookupPatience)})
		},
	})
}

// asks tells that the event's dataset has to be found out first.
func (e *entry) asks() bool { return e.asset.ID != "" }

func (e *entry) lookup() batcher.Item[graph.Asset, *entry] {
	return batcher.Item[graph.Asset, *entry]{Lane: e.asset, Value: e, Size: len(e.event.Raw)}
}

// recall routes an event whose account is not configured by what is in memory.
func (d *Dispatcher) recall(asset graph.Asset) (dataset string, ask graph.Asset, fault *event.Fault) {
	finding, known := d.deps.Directory.Recall(asset)
	switch {
	case !known || finding.Err != nil:
		return "", asset, nil
	case finding.Dataset == "":
		return "", graph.Asset{}, hasNone(asset)
	default:
		return finding.Dataset, graph.Asset{}, nil
	}
}

func hasNone(asset graph.Asset) *event.Fault {
	return admission.NoDataset("/user_data", "no dataset is configured for "+asset.String()+", and Meta says that it has none: "+
		"create one with capi-dispatcher dataset create, or name one under assets")
}

// lookUp sends an account's events on their way when its dataset is known.
func (d *Dispatcher) lookUp(asset graph.Asset, entries []*entry) {
	ctx, cancel := context.WithTimeout(d.taking, lookupPatience)
	defer cancel()
	finding := d.deps.Directory.Find(ctx, asset)
	if finding.Err != nil {
		d.parkUnfound(asset, entries, finding)
		return
	}
	d.accounts.RecordSuccess(unfound(asset))
	var fault *event.Fault
	if finding.Dataset == "" {
		fault = hasNone(asset)
	}
	for _, e := range entries {
		d.resolve(e, finding.Dataset, fault)
	}
	d.direct(entries)
}

// resolve makes an event one of a known dataset, as if it had come so.
func (d *Dispatcher) resolve(e *entry, dataset string, fault *event.Fault) {
	e.asset = graph.Asset{}
	if fault == nil {
		e.lane = lane{dataset: dataset, envelope: d.admission.Complete(e.lane.envelope, dataset)}
		e.span.SetAttributes(attribute.String("capi.dataset", dataset))
	}
	d.meters.received(e) // not before: the books are kept by dataset
	d.check(e, fault)
}

// parkUnfound parks events whose dataset could not be found out yet, until it
// may be asked for again. It is nobody's fault but the token's or Meta's, so
// none is dead-lettered, but for its age.
func (d *Dispatcher) parkUnfound(asset graph.Asset, entries []*entry, finding directory.Finding) {
	for _, e := range entries {
		d.meters.received(e)
	}
	if d.stopping() {
		d.giveBack(entries)
		return
	}
	d.lookupTrouble.Do(func() {
		d.log.Warn("the dataset of an account is not known yet; its events wait",
			zap.Stringer("account", asset), zap.Int("events", len(entries)), zap.Error(finding.Err))
	})
	d.accounts.RecordNotFound(unfound(asset), finding.Until)
	fresh, late := inTime(d.stillOurs(entries), d.clock.Now())
	d.expire(late)
	fresh, unlinked := d.withinPatience(fresh)
	d.bury(unlinked)
	d.parkUntil(fresh, parked.NoAnswer, finding.Until)
}
