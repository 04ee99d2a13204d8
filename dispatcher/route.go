package dispatcher

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/directory"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/reference"
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

// Events in chats that do not say whose they are wait in the page until all of it is
// looked up at once. What is filled in is no part of their identity, and whatever
// stands for the person goes on with them as aliases.

// lacking is an event that does not say whose it is.
type lacking struct {
	message *message
	index   int
	request event.Request
	sought  *sought
}

// sought is how an event's person has been looked up.
type sought struct {
	search  attribution.Search
	missing bool // the event did not name the person

	found  string // what it has come to, as it is counted
	wait   time.Duration
	skip   bool
	reason deadletter.Reason
	fault  event.Fault
}

func (s *sought) lacks() bool { return s != nil && s.missing }

func (s *sought) skips() bool { return s != nil && s.skip }

func (s *sought) waits() bool { return s != nil && s.wait > 0 }

// decision is what has been decided about the event by looking it up, if anything.
func (s *sought) decision(e *event.Event) (decision admission.Decision, concluded bool) {
	switch {
	case s.waits():
		return admission.Decision{Wait: s.wait}, true
	case s.skips():
		return admission.Decision{}, true
	case s != nil && s.reason != "":
		return admission.Decision{Reason: s.reason, Faults: append(slices.Clip(e.Faults), s.fault)}, true
	default:
		return admission.Decision{}, false
	}
}

// stored is the event as it is parked or dead-lettered.
func (e *inFlight) stored() []byte {
	if e.sought == nil {
		return e.event.Raw
	}
	return reference.WithAliases(e.event.Raw, e.sought.search.Aliases)
}

// seek says how an event is looked up; nil is that there is nothing to look up.
func (a *admitter) seek(m *message, e *event.Event) *sought {
	if a.deps.Attribution == nil || e.Channel == "" {
		return nil
	}
	stored := m.source.parked()
	if conversation := m.Header.Get(header.Conversation); conversation != "" && e.Reference == nil && !stored {
		e.Reference = &reference.Reference{Conversation: conversation}
	}
	missing := e.LacksPerson()
	if !missing && e.Reference == nil {
		return nil
	}
	dataset, _, _ := a.admission.Route(a.subjectWord(m), m.Header.Get(header.Dataset), e)
	dataset = cmp.Or(dataset, a.deps.Attribution.Dataset(e))
	return &sought{missing: missing, search: a.deps.Attribution.Search(dataset, e, stored)}
}

// lookUpPeople looks up all events of the page that do not say whose they are, and
// takes them in.
func (in *intake) lookUpPeople() {
	if len(in.lacking) == 0 {
		return
	}
	searches := make([]attribution.Search, len(in.lacking))
	for i := range in.lacking {
		searches[i] = in.lacking[i].sought.search
	}
	ctx, cancel := context.WithTimeout(in.intakeCtx, lookupPatience)
	defer cancel()
	for i, match := range in.deps.Attribution.Look(ctx, searches) {
		l := &in.lacking[i]
		in.conclude(l, &match)
		in.take(l.message, l.index, l.request, l.sought)
	}
	clear(in.lacking)
	in.lacking = in.lacking[:0]
}

// conclude fills in what was found, or decides what becomes of the event without.
func (in *intake) conclude(l *lacking, match *attribution.Match) {
	e, s := &l.request.Events[l.index], l.sought
	if e.Published == nil {
		e.Published = e.Raw
	}
	in.decoder.Complete(e, match.Person, match.Assets(e.Channel))
	history := newHistory(l.message, l.index)
	wait, over := in.deps.Attribution.NextLook(in.clock.Now().Sub(history.since))
	switch {
	case !e.LacksPerson():
		s.found = "found"
	case match.Err != nil:
		s.found, s.wait = "failed", max(wait, lookAgain)
		in.lookupTrouble.Do(func() { in.log.Warn("people cannot be looked up; their events wait", zap.Error(match.Err)) })
	case s.search.Known() && !over:
		s.found, s.wait = "awaited", wait
	default:
		s.found = "unattributed"
		in.giveUp(e, s)
	}
}

// lookAgain is when events are looked up again that could not be.
const lookAgain = 5 * time.Second

// giveUp decides what becomes of an event of which no webhook has told.
func (in *intake) giveUp(e *event.Event, s *sought) {
	switch in.deps.Attribution.Policy() {
	case attribution.Skip:
		s.skip = true
		return
	case attribution.SendWithout:
		in.decoder.LeaveChat(e)
		if len(e.Faults) == 0 {
			return
		}
	case attribution.DeadLetter:
	}
	s.reason = deadletter.Unattributed
	s.fault = event.Fault{Pointer: "/user_data", Code: "unattributed", Message: s.search.Advice()}
}
