package dispatcher

import (
	"slices"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// owner is the dataset that an account of an event belongs to by the
// configuration, where that is not the given one, and where the account stands.
func (a *Assets) owner(e *event.Event, dataset string) (owner, pointer string) {
	for _, at := range []struct{ id, dataset, pointer string }{
		{e.Assets.WhatsApp, a.WhatsAppAccounts[e.Assets.WhatsApp].Dataset, "/user_data/whatsapp_business_account_id"},
		{e.Assets.Instagram, a.Instagram[e.Assets.Instagram].Dataset, "/user_data/ig_account_id"},
		{e.Assets.Page, a.Pages[e.Assets.Page].Dataset, "/user_data/page_id"},
	} {
		if at.id != "" && at.dataset != "" && at.dataset != dataset {
			return at.dataset, at.pointer
		}
	}
	return "", ""
}

// checkForeign looks whether an event's account belongs to another dataset, and
// does about it what is configured, once: what has been parked was looked at.
func (d *Dispatcher) checkForeign(e *entry) {
	if e.message.source.parked && !e.message.replayed() || e.lane.dataset == "" {
		return
	}
	dataset, foreign := d.admission.ownerOf(&e.event, e.lane.dataset)
	if foreign {
		d.meters.ForeignAccount(d.meters.datasets.Of(e.lane.dataset), string(d.cfg.foreignAccounts()))
	}
	e.lane.dataset = dataset
}

// ownerOf is the dataset that an event for a dataset goes to, and reports whether
// its account belongs to another one. Where such an event is to be refused, it
// gets a fault that says so.
func (a *Admission) ownerOf(e *event.Event, dataset string) (to string, foreign bool) {
	owner, pointer := a.cfg.Assets.owner(e, dataset)
	if owner == "" {
		return dataset, false
	}
	switch a.cfg.foreignAccounts() {
	case graph.RefuseForeign:
		e.Faults = append(e.Faults, event.Fault{
			Pointer: pointer, Code: foreignAccount,
			Message: "the account belongs to dataset " + owner + " by assets, and the event is for " + dataset +
				"; publish it there, or set graph.foreign_accounts",
		})
	case graph.RerouteForeign:
		return owner, true
	}
	return dataset, true
}

// foreignAccount is the code of an account that belongs to another dataset.
const foreignAccount event.Code = "foreign_account"

// warnOfForeign tells of an event for a dataset whose account belongs to another
// one, where it is sent all the same.
func (a *Admission) warnOfForeign(e *event.Event, dataset string) []event.Fault {
	owner, pointer := a.cfg.Assets.owner(e, dataset)
	message := "the account belongs to dataset " + owner + " by assets"
	switch {
	case owner == "" || a.cfg.foreignAccounts() == graph.RefuseForeign:
		return nil
	case a.cfg.foreignAccounts() == graph.RerouteForeign:
		message += "; the event goes there"
	default:
		message += ", and the event counts for " + dataset
	}
	return []event.Fault{{Pointer: pointer, Code: foreignAccount, Message: message}}
}

// AccountsFor are the accounts to fill into events of a dataset that name none.
func (a *Admission) AccountsFor(dataset string) event.Assets { return a.sole[dataset] }

// foreignAccounts is what to do with events of foreign accounts.
func (c *Config) foreignAccounts() graph.ForeignAccounts {
	if c.ForeignAccounts == "" {
		return graph.WarnForeign
	}
	return c.ForeignAccounts
}

// soleAccounts are the accounts of each dataset that has exactly one of a channel.
func (a *Assets) soleAccounts() map[string]event.Assets {
	sole, several := make(map[string]event.Assets), make(map[string]event.Assets)
	note := func(dataset, id string, of func(*event.Assets) *string) {
		mine, seen := sole[dataset], several[dataset]
		if *of(&mine) = id; *of(&seen) != "" {
			*of(&mine) = ""
		}
		*of(&seen) = id
		sole[dataset], several[dataset] = mine, seen
	}
	for id, page := range a.Pages {
		note(page.Dataset, id, func(e *event.Assets) *string { return &e.Page })
	}
	for id, account := range a.WhatsAppAccounts {
		note(account.Dataset, id, func(e *event.Assets) *string { return &e.WhatsApp })
	}
	for id, account := range a.Instagram {
		note(account.Dataset, id, func(e *event.Assets) *string { return &e.Instagram })
	}
	delete(sole, "")
	return sole
}

// FilledChannels are the channels of which some dataset's account is filled in
// where an event names none.
func (c *Config) FilledChannels() []event.Channel {
	if !c.FillAccounts {
		return nil
	}
	fills := make(map[event.Channel]bool)
	for _, sole := range c.Assets.soleAccounts() {
		fills[event.Messenger] = fills[event.Messenger] || sole.Page != ""
		fills[event.WhatsApp] = fills[event.WhatsApp] || sole.WhatsApp != ""
		fills[event.Instagram] = fills[event.Instagram] || sole.Instagram != ""
	}
	return slices.DeleteFunc(event.Channels(), func(of event.Channel) bool { return !fills[of] })
}

// accountsFor are the accounts to fill into a message's events: those of the
// dataset that it is published for.
func (d *Dispatcher) accountsFor(m *message) event.Assets {
	if d.admission.sole == nil || m.source.parked && !m.replayed() {
		return event.Assets{}
	}
	dataset := d.subjectWord(m)
	if dataset == Auto {
		dataset = m.Headers().Get(header.Dataset)
	}
	return d.admission.AccountsFor(dataset)
}
