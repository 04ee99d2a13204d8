package rules

import "strings"

// messagingEvents are the names that business messaging knows.
const messagingEvents = "Purchase LeadSubmitted InitiateCheckout AddToCart ViewContent OrderCreated OrderShipped OrderDelivered " +
	"OrderCanceled OrderReturned CartAbandoned QualifiedLead RatingProvided ReviewProvided"

func checkMessaging(event object) *Error {
	if !isMessaging(event) {
		return nil
	}
	if !oneOf(strings.Fields(messagingEvents)...).fits(event["event_name"]) {
		return badEvent(2804066, "Messaging Event Invalid Event Type",
			"This event type is not supported for messaging events.")
	}
	if refusal := checkNotAllowed(event); refusal != nil {
		return refusal
	}
	user := event.object("user_data")
	switch event["messaging_channel"] {
	case "messenger":
		return firstOf(checkMessenger(user), checkNumeric(user, "page_id page_scoped_user_id"))
	case "whatsapp":
		return firstOf(checkWhatsApp(user), checkNumeric(user, "page_id whatsapp_business_account_id"))
	case "instagram":
		return firstOf(checkInstagram(user), checkNumeric(user, "ig_account_id ig_sid"))
	default:
		return badEvent(2804063, "Missing Messaging Channel", "Your event must include a messaging_channel parameter.")
	}
}

// checkNotAllowed refuses what belongs to a browser. Even an empty value is
// there.
func checkNotAllowed(event object) *Error {
	user := event.object("user_data")
	forbidden := ""
	for _, name := range []string{"client_ip_address", "client_user_agent", "fbc", "fbp"} {
		if user.has(name) {
			forbidden = name
		}
	}
	if event.has("event_source_url") {
		forbidden = "event_source_url"
	}
	if forbidden != "" {
		return badEvent(2804064, "Messaging Event Invalid Argument", forbidden+" is not allowed on messaging events.")
	}
	return nil
}

// given reports whether an id is there, and not empty.
func (o object) given(name string) bool { return anID().fits(o[name]) && o[name] != "" }

func firstOf(refusals ...*Error) *Error {
	for _, refusal := range refusals {
		if refusal != nil {
			return refusal
		}
	}
	return nil
}

// checkNumeric refuses ids that are none of Meta's: those are digits.
func checkNumeric(user object, names string) *Error {
	for name := range strings.FieldsSeq(names) {
		if id := user.text(name); id != "" && !isDigits(id) {
			return misshapen("user_data["+name+"]", "a numeric id")
		}
	}
	return nil
}

func checkMessenger(user object) *Error {
	switch {
	case !user.given("page_id"):
		return badEvent(2804069, "Missing Page ID", "Your event must include a page_id parameter.")
	case !user.given("page_scoped_user_id"):
		return required("user_data", "page_scoped_user_id")
	}
	return nil
}

func checkWhatsApp(user object) *Error {
	click, _ := user["ctwa_clid"].(string)
	switch {
	case !user.given("page_id") && !user.given("whatsapp_business_account_id"):
		return badEvent(2804116, "Missing Page ID or WhatsApp Business Account ID", "Your event must include one of the two.")
	case strings.TrimSpace(click) == "":
		return badEvent(2804071, "Missing CTWA clid", "Your event must include a ctwa_clid parameter.")
	case strings.HasPrefix(click, "invalid"), // the simulator's own mark of a click that never was
		strings.HasPrefix(strings.TrimSpace(click), "<") && strings.HasSuffix(strings.TrimSpace(click), ">"):
		return badEvent(2804087, "Messaging Event Invalid Ctwa Clid", "The ctwa_clid is not that of a click on an ad.")
	}
	return nil
}

// checkInstagram wants ig_account_id. Meta's guides say
// instagram_business_account_id, which the live API does not take for it.
func checkInstagram(user object) *Error {
	switch {
	case !user.given("ig_sid"):
		return badEvent(2804075, "Missing IG SID", "Your event must include an ig_sid parameter.")
	case !user.given("ig_account_id"):
		return badEvent(2804079, "Missing IG Account ID", "Your event must include an ig_account_id parameter.")
	}
	return nil
}
