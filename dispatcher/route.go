package dispatcher

import (
	"cmp"
	"strings"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// Auto is the subject's last word where the dataset is to be found out.
const Auto = "auto"

// IsDestination reports whether a word may end the subject of events: a dataset
// id, or [Auto].
func IsDestination(word string) bool { return graph.IsID(word) || word == Auto }

// route finds the dataset of an event of a message, as far as what is
// configured or in memory tells. If it is not known yet, ask says of which
// account Meta has to tell it.
func (d *Dispatcher) route(m *message, e *event.Event) (dataset string, ask graph.Asset, fault *event.Fault) {
	dataset, ask, fault = d.admission.route(d.subjectWord(m), m.Headers().Get(header.Dataset), e)
	if ask.ID == "" {
		return dataset, ask, fault
	}
	return d.recall(ask)
}

// route finds the dataset of an event: named by the subject's last word, else by
// a header, else by the account that the event belongs to. If there is none, the
// fault says what was looked for; or ask says of which account Meta has to tell
// it.
func (a *Admission) route(word, named string, e *event.Event) (dataset string, ask graph.Asset, fault *event.Fault) {
	if graph.IsID(word) {
		return word, ask, nil
	}
	if word != Auto {
		return "", ask, noDataset("", "the subject does not end in a dataset id or in "+Auto)
	}
	if named != "" {
		if !graph.IsID(named) {
			return "", ask, noDataset("", "the header "+header.Dataset+" does not hold a dataset id")
		}
		return named, ask, nil
	}
	dataset, fault = a.routeByAsset(e)
	if asset := accountOf(e); fault != nil && a.asks && graph.IsID(asset.ID) { // ids of accounts are made like those of datasets
		return "", asset, nil
	}
	return dataset, ask, fault
}

// subjectWord is what follows the common part of the subject.
func (d *Dispatcher) subjectWord(m *message) string {
	root := d.cfg.Streams.Subject + "."
	if m.source.parked {
		root = d.parkedSubjects().Due("")
	}
	return strings.TrimPrefix(m.Subject(), root)
}

func (a *Admission) routeByAsset(e *event.Event) (string, *event.Fault) {
	assets, known := &e.Assets, &a.cfg.Assets
	for _, at := range []struct{ id, dataset, pointer string }{
		{assets.WhatsApp, known.WhatsAppAccounts[assets.WhatsApp].Dataset, "/user_data/whatsapp_business_account_id"},
		{assets.Instagram, known.Instagram[assets.Instagram].Dataset, "/user_data/ig_account_id"},
		{assets.Page, known.Pages[assets.Page].Dataset, "/user_data/page_id"},
	} {
		if at.id != "" && at.dataset != "" {
			return at.dataset, nil
		}
		if at.id != "" && e.Channel != event.WhatsApp {
			return "", noDataset(at.pointer, "no dataset is configured for this account")
		}
	}
	return "", noDataset("/user_data", "the event names no account that a dataset is configured for")
}

func noDataset(pointer, message string) *event.Fault {
	return &event.Fault{Pointer: pointer, Code: "no_dataset", Message: message}
}

// envelope completes what a message says beside its events: with its header,
// then with what is configured for the dataset, then for all. A replay is
// completed like a new event: its letter may be of a message that nobody could
// read at the time.
func (d *Dispatcher) envelope(m *message, asked event.Envelope, dataset string) event.Envelope {
	if m.source.parked && !m.replayed() && d.subjectWord(m) != Auto {
		return asked // it was completed when the event first came
	}
	asked.TestEventCode = cmp.Or(asked.TestEventCode, withoutSecrets(m.Headers().Get(header.TestEventCode)))
	return d.admission.Complete(asked, dataset)
}
