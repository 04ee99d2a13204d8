package dispatcher

import (
	"errors"
	"time"

	"golang.org/x/time/rate"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/inflight"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/redact"
)

// admitter takes events in: it decodes messages, finds out where their events have
// to go, and sends each on its way.
type admitter struct {
	*run

	admission     *admission.Admission
	settler       *settler
	budget        *inflight.Budget
	load          *inflight.Load
	identities    *inflight.Coalescer[dedupe.Key, *inFlight]
	accounts      *breaker.Accounts
	lookups       *batcher.Batcher[graph.Asset, *inFlight]
	batches       *batcher.Batcher[lane, *inFlight]
	exits         *batcher.Batcher[exit, []*inFlight]
	lookupTrouble rate.Sometimes // is logged
}

// intake is what comes in by one source. What comes in together is sent on its way
// together, as a page: so it is counted once, and shares batches.
type intake struct {
	*admitter

	decoder *event.Decoder
	page    []*inFlight // of known datasets
	lacking []lacking   // events that do not say whose they are
}

// admit decodes a message and sends each of its events on its way: into a
// batch, after another event with the same identity, or out. It may keep them until
// the next flush.
func (in *intake) admit(m *message) {
	if m.isLetter() {
		in.admitLetter(m)
		return
	}
	request, err := in.decode(m)
	if in.makeRoom(m, request.Events) != nil {
		in.settler.returnWhole(m)
		return
	}
	if err != nil {
		in.admitUnreadable(m, err)
		return
	}
	m.expect(len(request.Events))
	for i := range request.Events {
		s := in.seek(m, &request.Events[i])
		if s.lacks() {
			in.lacking = append(in.lacking, lacking{message: m, index: i, request: request, sought: s})
			continue
		}
		in.take(m, i, request, s)
	}
}

// take takes an event in flight, into the page or to where its dataset is looked for.
func (in *intake) take(m *message, index int, request event.Request, s *sought) {
	e := in.newInFlight(m, index, request, s)
	if index == 0 {
		in.meters.withheld(e, request.Secrets, request.Dropped)
	}
	if e.asks() {
		in.lookups.Add(e.lookup())
		return
	}
	in.page = append(in.page, e)
}

// flush sends what is kept on its way.
func (in *intake) flush() {
	in.lookUpPeople()
	in.direct(in.page)
	clear(in.page)
	in.page = in.page[:0]
}

// full reports whether enough is kept to be sent on its way.
func (in *intake) full() bool { return len(in.page)+len(in.lacking) >= pullSize }

const (
	// eventOverhead is what an event in flight weighs beside its bytes: what is
	// known of it, its place in a lane, its claim and its share of a request,
	// with what the garbage collector leaves lying for a while. With it, a worker
	// that has to do with bodies of a thousand events stays near 80 MB
	// (TestMemoryWithBodiesOfAThousand).
	eventOverhead = 3 << 9
	// filledOverhead is what filling a person in, and the aliases of one, may add.
	filledOverhead = 1 << 9
	// faultOverhead is what one fault weighs, sentence and all.
	faultOverhead = 256
)

// makeRoom waits until there is room for a message's events. The error is that
// the dispatcher is to stop.
func (in *intake) makeRoom(m *message, events []event.Event) error {
	weight := max(1, len(events)) * eventOverhead
	for i := range events {
		weight += (len(events[i].Faults) + len(events[i].Warnings)) * faultOverhead
		weight += events[i].Copied()
		if in.deps.Attribution != nil && events[i].LacksPerson() {
			weight += len(events[i].Raw) + filledOverhead // it is written anew
		}
	}
	if !in.budget.TryAdmit(weight) {
		in.flush() // the room may be what is kept
		if err := in.budget.Admit(in.intakeCtx, weight); err != nil {
			return err
		}
	}
	m.bytes += weight
	m.admitted = true
	return nil
}

// direct sends events of known datasets on their way: into a batch, after
// another event with the same identity, or out.
func (a *admitter) direct(events []*inFlight) {
	if len(events) == 0 {
		return
	}
	events = inflight.Gather(events, (*inFlight).ofLane) // so they are counted and batched by lane
	a.meters.received(events...)
	a.count(events)
	staying, leaving := whoStays(events)
	leading := a.identities.Join(staying)
	traceHeld(staying, leading)
	if len(leading) > 0 {
		a.batches.Add(items(leading)...)
	}
	if len(leaving) > 0 {
		a.exits.Add(departures(leaving, a.mostInALetter())...)
	}
}

// count counts events among those of their datasets that are in flight.
func (a *admitter) count(events []*inFlight) {
	for group := range inflight.Runs(events, ofOneDataset) {
		a.load.Add(group[0].lane.dataset, len(group))
		for _, e := range group {
			e.loaded = true
		}
	}
}

// whoStays tells events that are to be sent to Meta from those that leave for elsewhere.
func whoStays(events []*inFlight) (staying, leaving []*inFlight) {
	staying = make([]*inFlight, 0, len(events))
	for _, e := range events {
		if e.leaves() {
			leaving = append(leaving, e)
		} else {
			staying = append(staying, e)
		}
	}
	return staying, leaving
}

// decode reads a message. What we have parked is one event, with what its
// request body said beside it in a header, or around it if that is long.
func (in *intake) decode(m *message) (event.Request, error) {
	in.decoder.Fill(in.accountsFor(m))
	request, err := in.decoder.Decode(m.Data)
	envelope := m.Header.Get(header.Envelope)
	if err != nil || !m.source.parked() || envelope == "" {
		return request, err
	}
	request.Envelope, err = event.ParseEnvelope(envelope)
	return request, err
}

// newInFlight takes an event in flight and finds out where it has to go.
func (a *admitter) newInFlight(m *message, index int, request event.Request, s *sought) *inFlight {
	e := &inFlight{
		message: m, index: index, event: request.Events[index], holder: dedupe.NewHolder(), history: newHistory(m, index),
		sought: s,
	}
	if !e.history.recalled.IsZero() {
		e.history.recalled = e.history.recalled.Add(-a.clock.Skew()) // our clock is what it is held against
	}
	e.history.nameContent(&e.event)
	dataset, ask, fault := a.route(m, &e.event)
	if len(e.event.Faults) == 0 { // a faulty event needs no dataset
		e.asset = ask
	}
	e.lane.dataset = dataset
	a.checkForeign(e)
	e.lane.envelope = a.envelope(m, admission.BesideEvent(request.Envelope, &e.event), e.lane.dataset)
	a.startSpan(e)
	if !e.asks() {
		a.check(e, fault)
	}
	return e
}

// check decides about an event whose way is known, or known not to exist. One
// whose time has not come waits on the server's clock, by which it comes back,
// and not on ours.
func (a *admitter) check(e *inFlight, fault *event.Fault) {
	decision, concluded := e.sought.decision(&e.event)
	if !concluded {
		decision = a.admission.Check(&e.event, e.lane.envelope, fault, e.history.firstSeen, a.clock.Now())
	}
	switch {
	case decision.Reason != "":
		e.markDead(decision.Reason, decision.Faults...)
		return
	case !a.settler.canBeParked(e):
		e.markDead(deadletter.TooLarge, event.Fault{
			Code: admission.TooLarge,
			Message: "the event could not be parked: with the headers that it needs there, " +
				"it is larger than the NATS server's max_payload",
		})
		return
	case decision.Wait > 0:
		e.until = time.Now().Add(decision.Wait)
	}
	e.key = a.identify(e.lane.dataset, &e.event, &e.history)
}

// admitUnreadable takes a message in flight whose events cannot be read. It is
// dead-lettered as a whole.
func (a *admitter) admitUnreadable(m *message, err error) {
	m.expect(1)
	shown, secrets := a.readable(m)
	e := &inFlight{message: m, event: event.Event{Raw: shown}, history: newHistory(m, 0)}
	if word := a.subjectWord(m); graph.IsID(word) {
		e.lane.dataset = word
	}
	a.startSpan(e)
	if unusable, ok := errors.AsType[*event.FaultError](err); ok {
		e.markDead(deadletter.Invalid, unusable.Faults...)
	} else {
		e.markDead(deadletter.Malformed, event.Fault{Code: "malformed", Message: err.Error()})
	}
	a.meters.withheld(e, secrets, 0)
	a.direct([]*inFlight{e})
}

// readable is what may be shown of a message that cannot be read, and how many
// secrets it holds: they are left out. Where personal data is to be hashed, the
// whole text is masked, because the personal data in it cannot be found.
func (a *admitter) readable(m *message) (shown []byte, secrets int) {
	shown, secrets = redact.Text(m.Data, a.deps.Secrets)
	if a.cfg.Rules.HashPersonalData {
		shown = event.Mask(m.Data)
	}
	return shown, secrets
}

// admitLetter sends a letter on its way again. Its events are counted as what
// they are, and share it.
func (in *intake) admitLetter(m *message) {
	letter, err := deadletter.Parse(0, m.Data, m.Header)
	count := max(1, len(letter.Places))
	if in.makeRoom(m, make([]event.Event, count)) != nil {
		in.settler.returnWhole(m)
		return
	}
	if err != nil {
		in.admitUnreadable(m, err)
		return
	}
	m.expect(count)
	on := &undelivered{
		Letter: &letter, id: m.Header.Get(header.Undelivered), tries: parked.Count(m.Header.Get(header.Parked)),
	}
	events := make([]*inFlight, count)
	for i := range events {
		e := &inFlight{message: m, index: i, lane: lane{dataset: letter.Dataset}, history: newHistory(m, i), letter: on}
		e.markDead(letter.Reason, letter.Faults...)
		in.startSpan(e)
		events[i] = e
	}
	in.meters.received(events...)
	in.exits.Add(departure{Lane: exitDead, Value: events, Size: len(m.Data)})
}
