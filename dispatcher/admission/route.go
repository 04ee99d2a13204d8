package admission

import (
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// Auto is the subject's last word where the dataset is to be found out.
const Auto = "auto"

// IsDestination reports whether a word may end the subject of events: a dataset
// id, or [Auto].
func IsDestination(word string) bool { return graph.IsID(word) || word == Auto }

// Route finds the dataset of an event: named by the subject's last word, else
// by a header, else by the account that the event belongs to. If there is none,
// the fault says what was looked for; or ask is the account whose dataset Meta
// has to be asked for.
func (a *Admission) Route(word, named string, e *event.Event) (dataset string, ask graph.Asset, fault *event.Fault) {
	if graph.IsID(word) {
		return word, ask, nil
	}
	if word != Auto {
		return "", ask, NoDataset("", "the subject does not end in a dataset id or in "+Auto)
	}
	if named != "" {
		if !graph.IsID(named) {
			return "", ask, NoDataset("", "the header "+header.Dataset+" does not hold a dataset id")
		}
		return named, ask, nil
	}
	dataset, fault = a.routeByAsset(e)
	// Ids of accounts are made like those of datasets.
	if asset := AccountOf(e); fault != nil && a.asks && graph.IsID(asset.ID) {
		return "", asset, nil
	}
	return dataset, ask, fault
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
			return "", NoDataset(at.pointer, "no dataset is configured for this account")
		}
	}
	return "", NoDataset("/user_data", "the event names no account that a dataset is configured for")
}

// NoDataset is the fault of an event for which no dataset is found, and why.
func NoDataset(pointer, message string) *event.Fault {
	return &event.Fault{Pointer: pointer, Code: "no_dataset", Message: message}
}

// AccountOf is the account whose dataset an event belongs to.
func AccountOf(e *event.Event) graph.Asset {
	switch assets := &e.Assets; {
	case assets.WhatsApp != "":
		return graph.Asset{Kind: graph.WhatsAppAccount, ID: assets.WhatsApp}
	case assets.Instagram != "":
		return graph.Asset{Kind: graph.InstagramUser, ID: assets.Instagram}
	default:
		return graph.Asset{Kind: graph.Page, ID: assets.Page}
	}
}
