package admission

import (
	"slices"

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

// OwnerOf is the dataset that an event for a dataset goes to, and reports whether
// its account belongs to another one. Where such an event is to be refused, it
// gets a fault that says so.
func (a *Admission) OwnerOf(e *event.Event, dataset string) (to string, foreign bool) {
	owner, pointer := a.cfg.Assets.owner(e, dataset)
	if owner == "" {
		return dataset, false
	}
	switch a.cfg.Foreign() {
	case RefuseForeign:
		e.Faults = append(e.Faults, event.Fault{
			Pointer: pointer, Code: foreignAccount,
			Message: "the account belongs to dataset " + owner + " by assets, and the event is for " + dataset +
				"; publish it there, or have such events sent all the same (foreign_accounts)",
		})
	case RerouteForeign:
		return owner, true
	}
	return dataset, true
}

// Fills reports whether accounts are filled in.
func (a *Admission) Fills() bool { return a.sole != nil }

// foreignAccount is the code of an account that belongs to another dataset.
const foreignAccount event.Code = "foreign_account"

// warnOfForeign returns a warning if the event's account belongs to another
// dataset than the one it is sent to.
func (a *Admission) warnOfForeign(e *event.Event, dataset string) []event.Fault {
	owner, pointer := a.cfg.Assets.owner(e, dataset)
	message := "the account belongs to dataset " + owner + " by assets"
	switch {
	case owner == "" || a.cfg.Foreign() == RefuseForeign:
		return nil
	case a.cfg.Foreign() == RerouteForeign:
		message += "; the event goes there"
	default:
		message += ", and the event counts for " + dataset
	}
	return []event.Fault{{Pointer: pointer, Code: foreignAccount, Message: message}}
}

// AccountsFor are the accounts to fill into events of a dataset that name none.
func (a *Admission) AccountsFor(dataset string) event.Assets { return a.sole[dataset] }

// Foreign is what to do with events of foreign accounts.
func (c *Config) Foreign() ForeignAccounts {
	if c.ForeignAccounts == "" {
		return WarnForeign
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
