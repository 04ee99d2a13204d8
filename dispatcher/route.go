package dispatcher

import (
	"cmp"
	"strings"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// auto is the subject's last word where the dataset is to be found out.
const auto = "auto"

// route finds the dataset of an event: named by the subject, else by a header,
// else by the account that the event belongs to. If there is none, the fault
// says what was looked for; or ask says of which account Meta has to tell it.
func (d *Dispatcher) route(m *message, e *event.Event) (dataset string, ask graph.Asset, fault *event.Fault) {
	word := d.subjectWord(m)
	if graph.IsID(word) {
		return word, ask, nil
	}
	if word != auto {
		return "", ask, noDataset("", "the subject does not end in a dataset id or in "+auto)
	}
	if named := m.Headers().Get(header.Dataset); named != "" {
		if !graph.IsID(named) {
			return "", ask, noDataset("", "the header "+header.Dataset+" does not hold a dataset id")
		}
		return named, ask, nil
	}
	dataset, fault = d.routeByAsset(e)
	if fault != nil && d.deps.Directory != nil {
		return d.recall(e, fault)
	}
	return dataset, ask, fault
}

// subjectWord is what follows the common part of the subject.
func (d *Dispatcher) subjectWord(m *message) string {
	root := d.cfg.Streams.Subject + "."
	if m.source.parked {
		root = d.dueSubject("")
	}
	return strings.TrimPrefix(m.Subject(), root)
}

func (d *Dispatcher) routeByAsset(e *event.Event) (string, *event.Fault) {
	assets, known := &e.Assets, &d.cfg.Assets
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
	if m.source.parked && !m.replayed() && d.subjectWord(m) != auto {
		return asked // it was completed when the event first came
	}
	asked.TestEventCode = cmp.Or(asked.TestEventCode, withoutSecrets(m.Headers().Get(header.TestEventCode)))
	if dataset == "" {
		return asked
	}
	return d.complete(asked, dataset)
}

func (d *Dispatcher) complete(asked event.Envelope, dataset string) event.Envelope {
	configured := d.cfg.Datasets[dataset]
	asked.TestEventCode = cmp.Or(asked.TestEventCode, configured.TestEventCode)
	asked.PartnerAgent = cmp.Or(asked.PartnerAgent, configured.PartnerAgent, d.cfg.PartnerAgent)
	return asked
}
