package dispatcher

import (
	"cmp"
	"context"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/directory"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// route finds the dataset of an event of a message in the configuration or in
// memory. If it is in neither, ask is the account whose dataset Meta has to be
// asked for.
func (a *admitter) route(m *message, e *event.Event) (dataset string, ask graph.Asset, fault *event.Fault) {
	dataset, ask, fault = a.admission.Route(a.subjectWord(m), m.Header.Get(header.Dataset), e)
	if ask.ID == "" {
		return dataset, ask, fault
	}
	return a.remembered(ask)
}

// subjectWord is what follows the common part of the subject.
func (a *admitter) subjectWord(m *message) string {
	root := a.cfg.Streams.Subject + "."
	if m.source.parked() {
		root = a.parkedSubjects().Due("")
	}
	return strings.TrimPrefix(m.Subject, root)
}

// envelope completes what a message says beside its events: with its header,
// then with what is configured for the dataset, then for all. A replay is
// completed like a new event: its letter may be of a message that could not be
// read at the time.
func (a *admitter) envelope(m *message, asked event.Envelope, dataset string) event.Envelope {
	if m.source.parked() && !m.replayed() && a.subjectWord(m) != admission.Auto {
		return asked // it was completed when the event first came
	}
	asked.TestEventCode = cmp.Or(asked.TestEventCode, withoutSecrets(m.Header.Get(header.TestEventCode)))
	return a.admission.Complete(asked, dataset)
}

// checkForeign looks whether an event's account belongs to another dataset, and
// does about it what is configured, once: what has been parked was looked at.
func (a *admitter) checkForeign(e *inFlight) {
	if e.message.source.parked() && !e.message.replayed() || e.lane.dataset == "" {
		return
	}
	dataset, foreign := a.admission.OwnerOf(&e.event, e.lane.dataset)
	if foreign {
		a.meters.ForeignAccount(a.meters.datasets.Of(e.lane.dataset), string(a.cfg.Foreign()))
	}
	e.lane.dataset = dataset
}

// accountsFor are the accounts to fill into a message's events: those of the
// dataset that it is published for.
func (a *admitter) accountsFor(m *message) event.Assets {
	if !a.admission.Fills() || m.source.parked() && !m.replayed() {
		return event.Assets{}
	}
	dataset := a.subjectWord(m)
	if dataset == admission.Auto {
		dataset = m.Header.Get(header.Dataset)
	}
	return a.admission.AccountsFor(dataset)
}

// Events on Subject.auto whose account is not configured wait here until Meta
// has named the account's dataset. The intake only looks into memory: what it
// does not find there it hands over and goes on, so no other event waits behind
// a question to Meta. A lane is an account, so its events wait together and ask
// once, and other accounts' events do not wait for them.
//
// Waiting events use up room that the intake needs. So they are in flight for
// lookupPatience at the most; then they are parked, while the question goes on.
// When they come back, its answer is in memory or in Redis. Events that come
// meanwhile are parked at once. So a slow account, or a thousand, takes room
// from the others for some seconds and no longer.

const (
	// lookupPatience is how long an event in flight waits for an answer. Meta
	// mostly needs less than a second.
	lookupPatience = 2 * time.Second
	// lookupsAtOnce is how many accounts' events wait at a time. Those that
	// find no place within a second are parked at once.
	lookupsAtOnce = 64
)

func newLookups(a *admitter) *batcher.Batcher[graph.Asset, *inFlight] {
	return batcher.New(batcher.Options[graph.Asset, *inFlight]{
		Config:  batcher.Config{MaxEvents: 1000, MaxBytes: 8 << 20, Linger: 200 * time.Millisecond},
		Senders: lookupsAtOnce, SendersPerLane: 1,
		MaxWaiting: 1, MaxWait: time.Second,
		Overhead: func(graph.Asset) int { return 0 },
		Send:     func(batch *batcher.Batch[graph.Asset, *inFlight]) { a.lookUp(batch.Lane, batch.Items) },
		Overflow: func(asset graph.Asset, events []*inFlight) {
			a.parkUnfound(asset, events, directory.Finding{Err: directory.ErrPending, Until: time.Now().Add(lookupPatience)})
		},
	})
}

// remembered routes an event whose account is not configured by what is in memory.
func (a *admitter) remembered(asset graph.Asset) (dataset string, ask graph.Asset, fault *event.Fault) {
	finding, known := a.deps.Directory.Recall(asset)
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
	return admission.NoDataset("/user_data", "no dataset is configured for "+asset.String()+
		", and Meta says that it has none: create one with capi-dispatcher dataset create, or name one under assets")
}

// lookUp sends an account's events on their way when its dataset is known.
func (a *admitter) lookUp(asset graph.Asset, events []*inFlight) {
	ctx, cancel := context.WithTimeout(a.intakeCtx, lookupPatience)
	defer cancel()
	finding := a.deps.Directory.Find(ctx, asset)
	a.meters.LookedUp(finding)
	if finding.Err != nil {
		a.parkUnfound(asset, events, finding)
		return
	}
	a.accounts.RecordSuccess(unfound(asset))
	var fault *event.Fault
	if finding.Dataset == "" {
		fault = hasNone(asset)
	}
	for _, e := range events {
		a.resolve(e, finding.Dataset, fault)
	}
	a.direct(events)
}

// resolve makes an event one of a known dataset, as if it had come so.
func (a *admitter) resolve(e *inFlight, dataset string, fault *event.Fault) {
	e.asset = graph.Asset{}
	e.trace.LookUp(found(fault))
	if fault == nil {
		e.lane = lane{dataset: dataset, envelope: a.admission.Complete(e.lane.envelope, dataset)}
		e.trace.OfDataset(dataset)
	}
	a.check(e, fault)
}

// found says whether a dataset was found.
func found(fault *event.Fault) string {
	if fault != nil {
		return "none"
	}
	return "found"
}

// parkUnfound parks events whose dataset could not be found out yet, until it
// may be asked for again. The token or Meta is to blame and not the events, so
// none is dead-lettered unless it expires.
func (a *admitter) parkUnfound(asset graph.Asset, events []*inFlight, finding directory.Finding) {
	a.meters.received(events...)
	for _, e := range events {
		e.trace.LookUp("no_answer")
	}
	if a.stopping() {
		a.settler.settle(events, toReturn(0))
		return
	}
	a.lookupTrouble.Do(func() {
		a.log.Warn("the dataset of an account is not known yet; its events wait",
			zap.Stringer("account", asset), zap.Int("events", len(events)), zap.Error(finding.Err))
	})
	a.accounts.RecordNotFound(unfound(asset), finding.Until)
	fresh, late := inTime(a.settler.dropLapsed(events), a.clock.Now())
	a.settler.expire(late)
	fresh, unlinked := a.settler.withinPatience(fresh)
	a.settler.settle(unlinked, outcome{fate: deadLettered})
	a.settler.settle(fresh, toPark(parked.NoAnswer, finding.Until))
}
