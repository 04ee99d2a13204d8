package event

import (
	"slices"
	"strings"

	"github.com/agext/levenshtein"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/scalar"
)

// validateMessaging checks what Meta wants to know of an event in a chat.
// Source: Meta, business messaging guides, and the live API's answers as users
// have published them, where the guides differ.
func (r review) validateMessaging() {
	if name := r.event.Name; name != "" && !slices.Contains(r.rules.MessagingEvents, name) {
		r.faultAt("/event_name", UnknownValue, 2804066, unknownName(name, r.rules.MessagingEvents))
	}
	r.validateExtras()
	if r.event.Name == "OrderCreated" && r.mayHold(slotCustom) {
		r.need(slotCurrency, "/custom_data/currency", 2804081, "an OrderCreated has a currency, like USD")
	}
	r.validateChannel()
	if !r.isObject(slotUser) {
		return
	}
	filled := r.fillAccount()
	r.fillPerson()
	switch r.event.Channel {
	case Messenger:
		if !filled {
			r.require(slotPage, "/user_data/page_id", 2804069, "a messenger event has the page_id")
		}
		r.require(slotPageUser, "/user_data/page_scoped_user_id", missingField,
			"a messenger event has the page_scoped_user_id")
		r.digits(slotPage, "/user_data/page_id")
		r.digits(slotPageUser, "/user_data/page_scoped_user_id")
	case WhatsApp:
		r.validateWhatsApp(filled)
	case Instagram:
		r.validateInstagram(filled)
	}
}

func (r review) validateChannel() {
	const pointer, subcode = "/messaging_channel", 2804063
	r.kept[slotChannel].sound = r.kept[slotChannel].there
	if !r.kept[slotChannel].there {
		r.faultAt(pointer, Missing, subcode, r.needsChannel)
		return
	}
	if code := r.channel.Judge(r.raw(slotChannel)); code != "" {
		r.faultAt(pointer, Code(code), subcode, "messaging_channel is "+r.channel.Told(r.raw(slotChannel), false))
		return
	}
	r.event.Channel = Channel(r.common(slotChannel))
}

func (r review) validateWhatsApp(filled bool) {
	r.require(slotClick, "/user_data/ctwa_clid", 2804071, "a whatsapp event has the ctwa_clid of the click on the ad")
	r.validateClick()
	if len(r.spelled(slotPage)) == 0 && !filled {
		r.require(slotWhatsApp, "/user_data/whatsapp_business_account_id", 2804116,
			"a whatsapp event has the whatsapp_business_account_id, or the page_id")
	}
	r.digits(slotWhatsApp, "/user_data/whatsapp_business_account_id")
	r.digits(slotPage, "/user_data/page_id")
}

// validateClick finds a click id that is none at all: blank, or the placeholder
// of a template. What a real one looks like, only Meta knows.
func (r review) validateClick() {
	const pointer = "/user_data/ctwa_clid"
	switch click := r.kept[slotClick]; {
	case !click.sound || string(r.raw(slotClick)) == `""`:
	case scalar.IsBlank(r.raw(slotClick)):
		r.faultAt(pointer, Empty, 2804071, "ctwa_clid is blank; send the id that the webhook gave, or not this event")
	case scalar.IsPlaceholder(r.raw(slotClick)):
		r.faultAt(pointer, BadFormat, 2804087, "ctwa_clid is a placeholder, not the id of a click; send what the webhook gave")
	}
}

// validateInstagram takes either id of the account that Meta's guides name, and
// sends the one that the live API demands.
func (r review) validateInstagram(filled bool) {
	r.require(slotInstagramUser, "/user_data/ig_sid", 2804075, "an instagram event has the ig_sid")
	r.digits(slotInstagramUser, "/user_data/ig_sid")
	if filled {
		return
	}
	wanted, other := r.kept[slotInstagram], r.kept[slotInstagramBusiness]
	if len(r.spelled(slotInstagramBusiness)) == 0 || len(r.spelled(slotInstagram)) > 0 {
		r.require(slotInstagram, "/user_data/ig_account_id", 2804079,
			"an instagram event has the ig_account_id, or the instagram_business_account_id")
		r.digits(slotInstagram, "/user_data/ig_account_id")
		return
	}
	r.digits(slotInstagramBusiness, "/user_data/instagram_business_account_id")
	if wanted.null || wanted.there {
		r.remove(slotInstagram)
	}
	r.replace(other.name, other.nameEnd, `"ig_account_id"`)
}

// extras are the members that Meta refuses on business messaging events.
func extras() [5]struct {
	at      slot
	pointer string
} {
	return [5]struct {
		at      slot
		pointer string
	}{
		{slotURL, "/event_source_url"},
		{slotIP, "/user_data/client_ip_address"},
		{slotUserAgent, "/user_data/client_user_agent"},
		{slotFBC, "/user_data/fbc"},
		{slotFBP, "/user_data/fbp"},
	}
}

func (r review) validateExtras() {
	for _, extra := range extras() {
		switch {
		case !r.kept[extra.at].there:
		case r.rules.MessagingExtras == Refuse:
			r.faultAt(extra.pointer, NotAllowed, 2804064,
				lastToken(extra.pointer)+" is not allowed on a business messaging event")
		default:
			r.remove(extra.at)
			r.event.Removed = append(r.event.Removed, extra.pointer)
			// Whatever was wrong with it goes with it.
			r.event.Faults = slices.DeleteFunc(r.event.Faults, func(f Fault) bool { return f.Pointer == extra.pointer })
		}
	}
}

// unknownName says that business messaging does not know an event's name, and
// which one may have been meant: a name that is much longer than any there is
// gets no guess, which would take long.
func unknownName(name string, known []string) string {
	const longest = 64
	sentence := "event_name is " + scalar.Quoted(name) + ", which business messaging does not know"
	if len(name) > longest {
		return sentence
	}
	return sentence + "; did you mean " + likelyName(name, known) + "?"
}

// likelyName guesses which event was meant. Lead is what the pixel calls it.
func likelyName(name string, known []string) string {
	best, least := "", 1<<30
	for _, k := range known {
		distance := levenshtein.Distance(strings.ToLower(name), strings.ToLower(k), nil)
		if strings.HasPrefix(strings.ToLower(k), strings.ToLower(name)) {
			distance = 0
		}
		if distance < least {
			best, least = k, distance
		}
	}
	return best
}

// lastToken returns the member that a JSON pointer ends in.
func lastToken(pointer string) string { return pointer[strings.LastIndexByte(pointer, '/')+1:] }
