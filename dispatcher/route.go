package dispatcher

import (
	"cmp"
	"strings"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// route finds the dataset of an event of a message, as far as what is
// configured or in memory tells. If it is not known yet, ask says of which
// account Meta has to tell it.
func (d *Dispatcher) route(m *message, e *event.Event) (dataset string, ask graph.Asset, fault *event.Fault) {
	dataset, ask, fault = d.admission.Route(d.subjectWord(m), m.Headers().Get(header.Dataset), e)
	if ask.ID == "" {
		return dataset, ask, fault
	}
	return d.recall(ask)
}

// subjectWord is what follows the common part of the subject.
func (d *Dispatcher) subjectWord(m *message) string {
	root := d.cfg.Streams.Subject + "."
	if m.source.parked() {
		root = d.parkedSubjects().Due("")
	}
	return strings.TrimPrefix(m.Subject(), root)
}

// envelope completes what a message says beside its events: with its header,
// then with what is configured for the dataset, then for all. A replay is
// completed like a new event: its letter may be of a message that nobody could
// read at the time.
func (d *Dispatcher) envelope(m *message, asked event.Envelope, dataset string) event.Envelope {
	if m.source.parked() && !m.replayed() && d.subjectWord(m) != admission.Auto {
		return asked // it was completed when the event first came
	}
	asked.TestEventCode = cmp.Or(asked.TestEventCode, withoutSecrets(m.Headers().Get(header.TestEventCode)))
	return d.admission.Complete(asked, dataset)
}

// checkForeign looks whether an event's account belongs to another dataset, and
// does about it what is configured, once: what has been parked was looked at.
func (d *Dispatcher) checkForeign(e *entry) {
	if e.message.source.parked() && !e.message.replayed() || e.lane.dataset == "" {
		return
	}
	dataset, foreign := d.admission.OwnerOf(&e.event, e.lane.dataset)
	if foreign {
		d.meters.ForeignAccount(d.meters.datasets.Of(e.lane.dataset), string(d.cfg.Foreign()))
	}
	e.lane.dataset = dataset
}

// accountsFor are the accounts to fill into a message's events: those of the
// dataset that it is published for.
func (d *Dispatcher) accountsFor(m *message) event.Assets {
	if !d.admission.Fills() || m.source.parked() && !m.replayed() {
		return event.Assets{}
	}
	dataset := d.subjectWord(m)
	if dataset == admission.Auto {
		dataset = m.Headers().Get(header.Dataset)
	}
	return d.admission.AccountsFor(dataset)
}
