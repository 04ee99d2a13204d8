package dispatcher

import (
	"errors"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// admit decodes a message and sends each of its events on its way: into a
// batch, after another event with the same identity, or out.
func (d *Dispatcher) admit(m *message, decoder *event.Decoder) {
	if m.isLetter() {
		d.admitLetter(m)
		return
	}
	request, err := d.decode(m, decoder)
	if d.makeRoom(m, request.Events) != nil {
		d.giveBackWhole(m)
		return
	}
	if err != nil {
		d.admitUnreadable(m, err)
		return
	}
	m.expect(len(request.Events))
	known := make([]*entry, 0, len(request.Events))
	for i := range request.Events {
		e := d.newEntry(m, i, request)
		if i == 0 {
			d.meters.withheld(e, request.Secrets, request.Dropped)
		}
		if e.asks() {
			d.lookups.Add(e.lookup())
			continue
		}
		d.meters.received(e)
		known = append(known, e)
	}
	d.direct(known)
}

const (
	// eventOverhead is what an event in hand weighs beside its bytes: what is
	// known of it, its place in a lane, its claim and its share of a request,
	// with what the garbage collector leaves lying for a while. With it, a worker
	// that has to do with bodies of a thousand events stays near 80 MB
	// (TestMemoryWithBodiesOfAThousand).
	eventOverhead = 3 << 9
	// faultOverhead is what one fault weighs, sentence and all.
	faultOverhead = 256
)

// makeRoom waits until there is room for a message's events. The error is that
// the dispatcher is to stop.
func (d *Dispatcher) makeRoom(m *message, events []event.Event) error {
	weight := max(1, len(events)) * eventOverhead
	for i := range events {
		weight += (len(events[i].Faults) + len(events[i].Warnings)) * faultOverhead
		weight += events[i].Copied()
	}
	if err := d.budget.Admit(d.taking, weight); err != nil {
		return err
	}
	m.bytes += weight
	m.admitted = true
	return nil
}

// direct sends events of known datasets on their way: into a batch, after
// another event with the same identity, or out.
func (d *Dispatcher) direct(entries []*entry) {
	items := make([]batcher.Item[lane, *entry], 0, len(entries))
	var leaving []*entry
	for _, e := range entries {
		e.loaded = true
		d.load.Add(e.lane.dataset, 1)
		switch {
		case e.leaves():
			leaving = append(leaving, e)
		case d.identities.Join(e.key, e):
			items = append(items, e.item())
		}
	}
	if len(items) > 0 {
		d.batches.Add(items...)
	}
	if len(leaving) > 0 {
		d.exits.Add(departures(leaving, d.mostInALetter())...)
	}
}

// decode reads a message. What we have parked is one event, with what its
// request body said beside it in a header, or around it if that is long.
func (d *Dispatcher) decode(m *message, decoder *event.Decoder) (event.Request, error) {
	decoder.Fill(d.accountsFor(m))
	request, err := decoder.Decode(m.Data())
	envelope := m.Headers().Get(header.Envelope)
	if err != nil || !m.source.parked() || envelope == "" {
		return request, err
	}
	request.Envelope, err = event.ParseEnvelope(envelope)
	return request, err
}

// newEntry takes an event in hand and finds out where it has to go.
func (d *Dispatcher) newEntry(m *message, index int, request event.Request) *entry {
	e := &entry{message: m, index: index, event: request.Events[index], holder: dedupe.NewHolder(), history: newHistory(m, index)}
	if !e.history.recalled.IsZero() {
		e.history.recalled = e.history.recalled.Add(-d.clock.Skew()) // our clock is what it is held against
	}
	e.history.nameContent(&e.event)
	dataset, ask, fault := d.route(m, &e.event)
	if len(e.event.Faults) == 0 { // a faulty event needs no dataset
		e.asset = ask
	}
	e.lane.dataset = dataset
	d.checkForeign(e)
	e.lane.envelope = d.envelope(m, admission.BesideEvent(request.Envelope, &e.event), e.lane.dataset)
	d.startSpan(e)
	if !e.asks() {
		d.check(e, fault)
	}
	return e
}

// check decides about an event whose way is known, or known not to exist. One
// whose time has not come waits on the server's clock, by which it comes back,
// and not on ours.
func (d *Dispatcher) check(e *entry, fault *event.Fault) {
	decision := d.admission.Check(&e.event, e.lane.envelope, fault, e.history.firstSeen, d.clock.Now())
	switch {
	case decision.Reason != "":
		e.dead(decision.Reason, decision.Faults...)
		return
	case !d.canBeParked(e):
		e.dead(deadletter.TooLarge, event.Fault{Code: admission.TooLarge, Message: "the event could not be parked: with the headers that it needs there, " +
			"it is larger than the NATS server's max_payload"})
		return
	case decision.Wait > 0:
		e.until = time.Now().Add(decision.Wait)
	}
	e.key = d.identify(e.lane.dataset, &e.event, &e.history)
}

// admitUnreadable takes a message in hand whose events can't be told apart. It
// is dead-lettered as a whole.
func (d *Dispatcher) admitUnreadable(m *message, err error) {
	m.expect(1)
	shown, secrets := d.readable(m)
	e := &entry{message: m, event: event.Event{Raw: shown}, history: newHistory(m, 0)}
	if word := d.subjectWord(m); graph.IsID(word) {
		e.lane.dataset = word
	}
	d.startSpan(e)
	if unusable, ok := errors.AsType[*event.FaultError](err); ok {
		e.dead(deadletter.Invalid, unusable.Faults...)
	} else {
		e.dead(deadletter.Malformed, event.Fault{Code: "malformed", Message: err.Error()})
	}
	d.meters.received(e)
	d.meters.withheld(e, secrets, 0)
	d.direct([]*entry{e})
}

// readable is what may be shown of a message that cannot be read, and how many
// secrets it holds: they are left out, and where personal data is to be hashed,
// nobody knows where in it there is some.
func (d *Dispatcher) readable(m *message) (shown []byte, secrets int) {
	shown, secrets = event.Redact(m.Data(), d.deps.Secrets)
	if d.cfg.Rules.HashPersonalData {
		shown = event.Mask(m.Data())
	}
	return shown, secrets
}
