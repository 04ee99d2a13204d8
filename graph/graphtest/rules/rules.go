// Package rules judges events by Meta's rules, as they are documented.
package rules

import (
	"encoding/json"
	"slices"
	"time"
)

// Identity is what Meta tells events of a dataset apart by.
type Identity struct{ Name, ID string }

// Rules is Meta's judgement of an event at one moment.
type Rules struct {
	Now    time.Time
	Assets []string // linked accounts; empty: any
}

// Check judges one event. It answers with the first fault it finds, as Graph
// does, and says neither which event has it nor what else is wrong.
func (r Rules) Check(raw json.RawMessage) (Identity, *Error) {
	event := readObject(raw)
	if event == nil {
		return Identity{}, Invalid("(#100) param data must be an array of objects.")
	}
	for _, rule := range []func(object) *Error{
		checkName, r.checkTime, checkUserData, checkSource,
		checkMessaging, r.checkLinks,
		checkMembers, checkOriginalEvent, checkAttribution,
		checkProcessing, checkApp,
		checkCustom, checkPurchase, checkOrder,
		checkPersonalData, checkUserTexts, checkLead, checkCustomerInformation,
	} {
		if refusal := rule(event); refusal != nil {
			return Identity{}, refusal
		}
	}
	return Identity{Name: event.text("event_name"), ID: event.text("event_id")}, nil
}

// isMessaging reports whether the rules of business messaging hold.
func isMessaging(event object) bool { return event["action_source"] == "business_messaging" }

// checkLinks refuses accounts that are not linked to the dataset.
func (r Rules) checkLinks(event object) *Error {
	if len(r.Assets) == 0 || !isMessaging(event) {
		return nil
	}
	user := event.object("user_data")
	unlinked := func(field string) bool {
		id := user.text(field)
		return id != "" && !slices.Contains(r.Assets, id)
	}
	switch {
	case unlinked("page_id"):
		return badEvent(2804131, "No Page Associated To Dataset",
			"For CTM and CTWA events, the dataset must have a Page associated with it.")
	case unlinked("whatsapp_business_account_id"):
		return badEvent(2804132, "No WhatsApp Business Account Linked To This Dataset",
			"Link the account with POST /{waba-id}/dataset.")
	case unlinked("ig_account_id"), unlinked("instagram_business_account_id"):
		return badEvent(2804133, "No IG Account Associated To Dataset", "The link must be inside one Business Manager.")
	}
	return nil
}
