package graphtest

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// rules is Meta's judgement of an event at one moment.
type rules struct {
	now    time.Time
	assets []string // linked accounts; empty: any
}

// object is a JSON object whose numbers keep their digits.
type object map[string]any

// check judges one event.
func (r rules) check(raw json.RawMessage) (Entry, *Error) {
	var event object
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&event); err != nil {
		return Entry{}, invalidParameter("(#100) param data must be an array of objects.")
	}
	for _, rule := range []func(object) *Error{
		r.checkName, r.checkTime, r.checkSource, r.checkUserData, r.checkMessaging, r.checkPurchase, r.checkLinks,
	} {
		if refusal := rule(event); refusal != nil {
			return Entry{}, refusal
		}
	}
	return Entry{Name: event.text("event_name"), ID: event.text("event_id"), Raw: raw}, nil
}

func missing(field string) *Error {
	return badEvent(2804019, "Missing Required Field", field+" is required")
}

func (r rules) checkName(event object) *Error {
	if event.text("event_name") == "" {
		return missing("event_name")
	}
	return nil
}

func (r rules) checkTime(event object) *Error {
	number, ok := event["event_time"].(json.Number)
	if !ok {
		return missing("event_time")
	}
	seconds, err := number.Int64()
	if err != nil {
		return invalidParameter("(#100) event_time must be an integer")
	}
	days := 7 * 24 * time.Hour
	if event.text("action_source") == "physical_store" {
		days = 62 * 24 * time.Hour
	}
	switch at := time.Unix(seconds, 0); {
	case at.After(r.now):
		return badEvent(2804004, "Event Timestamp In The Future", "The timestamp for this event is in the future.")
	case r.now.Sub(at) > days:
		return badEvent(2804003, "Event Timestamp Too Old",
			"The timestamp for this event is too far in the past. Events need to be sent from your server within 7 days of when they occurred. "+
				"Enter a timestamp that has occurred within the last 7 days.")
	}
	return nil
}

func (r rules) checkSource(event object) *Error {
	source := event.text("action_source")
	if source == "" {
		return missing("action_source")
	}
	if !slices.Contains(strings.Fields("email website app phone_call chat physical_store system_generated business_messaging other"), source) {
		return invalidParameter("(#100) action_source must be one of the documented values")
	}
	return nil
}

func (r rules) checkUserData(event object) *Error {
	if event.object("user_data") == nil {
		return missing("user_data")
	}
	return nil
}

// messagingEvents are the names that business messaging knows.
const messagingEvents = "Purchase LeadSubmitted InitiateCheckout AddToCart ViewContent OrderCreated OrderShipped OrderDelivered " +
	"OrderCanceled OrderReturned CartAbandoned QualifiedLead RatingProvided ReviewProvided"

func (r rules) checkMessaging(event object) *Error {
	if event.text("action_source") != "business_messaging" {
		return nil
	}
	if !slices.Contains(strings.Fields(messagingEvents), event.text("event_name")) {
		return badEvent(2804066, "Messaging Event Invalid Event Type", "This event type is not supported for messaging events.")
	}
	user := event.object("user_data")
	for _, field := range []string{"client_ip_address", "client_user_agent"} {
		if user.text(field) != "" {
			return badEvent(2804064, "Messaging Event Invalid Argument", field+" is not allowed on messaging events.")
		}
	}
	switch event.text("messaging_channel") {
	case "messenger":
		return checkMessenger(user)
	case "whatsapp":
		return checkWhatsApp(user)
	case "instagram":
		return checkInstagram(user)
	default:
		return badEvent(2804063, "Missing Messaging Channel", "Your event must include a messaging_channel parameter.")
	}
}

func checkMessenger(user object) *Error {
	if user.text("page_id") == "" {
		return badEvent(2804069, "Missing Page ID", "Your event must include a page_id parameter.")
	}
	if user.text("page_scoped_user_id") == "" {
		return missing("page_scoped_user_id")
	}
	return nil
}

func checkWhatsApp(user object) *Error {
	click := user.text("ctwa_clid")
	switch {
	case user.text("page_id") == "" && user.text("whatsapp_business_account_id") == "":
		return badEvent(2804116, "Missing Page ID or WhatsApp Business Account ID", "Your event must include one of the two.")
	case click == "":
		return badEvent(2804071, "Missing CTWA clid", "Your event must include a ctwa_clid parameter.")
	case strings.HasPrefix(click, "invalid"):
		return badEvent(2804087, "Messaging Event Invalid Ctwa Clid", "The ctwa_clid is not that of a click on an ad.")
	}
	return nil
}

func checkInstagram(user object) *Error {
	if user.text("ig_sid") == "" {
		return badEvent(2804075, "Missing IG SID", "Your event must include an ig_sid parameter.")
	}
	if user.text("ig_account_id") == "" && user.text("instagram_business_account_id") == "" {
		return badEvent(2804079, "Missing IG Account ID", "Your event must include an ig_account_id parameter.")
	}
	return nil
}

func (r rules) checkPurchase(event object) *Error {
	if event.text("event_name") != "Purchase" {
		return nil
	}
	custom := event.object("custom_data")
	switch currency := custom.text("currency"); {
	case custom["value"] == nil:
		return badEvent(2804009, "Missing Value for Purchase Event",
			"Your purchase event doesn’t include a value parameter. Enter a value. For example: 1.99")
	case currency == "":
		return badEvent(2804010, "Missing Currency for Purchase Event", "Your purchase event doesn’t include a currency parameter.")
	case strings.EqualFold(currency, "MRU"):
		return badEvent(2804011, "Invalid Currency For Purchase Event", "The currency is not supported.")
	}
	return nil
}

// checkLinks refuses accounts that are not linked to the dataset.
func (r rules) checkLinks(event object) *Error {
	if len(r.assets) == 0 || event.text("action_source") != "business_messaging" {
		return nil
	}
	user := event.object("user_data")
	unlinked := func(field string) bool {
		id := user.text(field)
		return id != "" && !slices.Contains(r.assets, id)
	}
	switch {
	case unlinked("page_id"):
		return badEvent(2804131, "No Page Associated To Dataset", "For CTM and CTWA events, the dataset must have a Page associated with it.")
	case unlinked("whatsapp_business_account_id"):
		return badEvent(2804132, "No WhatsApp Business Account Linked To This Dataset", "Link the account with POST /{waba-id}/dataset.")
	case unlinked("ig_account_id"), unlinked("instagram_business_account_id"):
		return badEvent(2804133, "No IG Account Associated To Dataset", "The link must be inside one Business Manager.")
	}
	return nil
}

// text returns a member's text: a string's, or a number's digits.
func (o object) text(name string) string {
	switch value := o[name].(type) {
	case string:
		return value
	case json.Number:
		return value.String()
	default:
		return ""
	}
}

func (o object) object(name string) object {
	inner, _ := o[name].(map[string]any)
	return inner
}
