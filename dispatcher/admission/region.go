package admission

import (
	"slices"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// checkRegion refuses messaging events of pages and Instagram accounts that are
// registered where Meta takes none, as far as the configuration says so. For
// the others, Meta decides. What Meta says of one event is not held against the
// next: it also depends on the customer's region and the kind of event.
func (a *Admission) checkRegion(e *event.Event) *event.Fault {
	var country, pointer string
	switch assets := &e.Assets; e.Channel {
	case event.Messenger:
		country, pointer = a.cfg.Assets.Pages[assets.Page].Country, "/user_data/page_id"
	case event.Instagram:
		country, pointer = a.cfg.Assets.Instagram[assets.Instagram].Country, "/user_data/ig_account_id"
	}
	if country == "" || !slices.Contains(a.cfg.RestrictedCountries, country) {
		return nil
	}
	return &event.Fault{
		Pointer: pointer, Code: "restricted_region",
		Message: "the account is registered in " + country + ", where Meta takes no messaging events (ePrivacy)",
	}
}
