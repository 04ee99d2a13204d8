package event

import (
	"slices"
	"strings"

	"github.com/agext/levenshtein"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/scalar"
)

// validateMessaging checks what Meta wants to know of an event in a chat.
// Source: Meta, business messaging guides, and the live API's answers as users
// have published them, where the guides differ.
func (p *parser) validateMessaging() {
	if name := p.event.Name; name != "" && !slices.Contains(p.rules.MessagingEvents, name) {
		p.faultAt("/event_name", UnknownValue, 2804066, unknownName(name, p.rules.MessagingEvents))
	}
	p.validateExtras()
	if p.event.Name == "OrderCreated" && p.mayHold(slotCustom) {
		p.need(slotCurrency, "/custom_data/currency", 2804081, "an OrderCreated has a currency, like USD")
	}
	p.validateChannel()
	if !p.isObject(slotUser) {
		return
	}
	filled := p.fillAccount()
	switch p.event.Channel {
	case Messenger:
		if !filled {
			p.require(slotPage, "/user_data/page_id", 2804069, "a messenger event has the page_id")
		}
		p.require(slotPageUser, "/user_data/page_scoped_user_id", missingField, "a messenger event has the page_scoped_user_id")
		p.digits(slotPage, "/user_data/page_id")
		p.digits(slotPageUser, "/user_data/page_scoped_user_id")
	case WhatsApp:
		p.validateWhatsApp(filled)
	case Instagram:
		p.validateInstagram(filled)
	}
}

func (p *parser) validateChannel() {
	const pointer, subcode = "/messaging_channel", 2804063
	p.kept[slotChannel].sound = p.kept[slotChannel].there
	if !p.kept[slotChannel].there {
		p.faultAt(pointer, Missing, subcode, p.needsChannel)
		return
	}
	if code := p.channel.Judge(p.raw(slotChannel)); code != "" {
		p.faultAt(pointer, Code(code), subcode, "messaging_channel is "+p.channel.Told(p.raw(slotChannel), false))
		return
	}
	p.event.Channel = Channel(p.text(slotChannel))
}

func (p *parser) validateWhatsApp(filled bool) {
	p.require(slotClick, "/user_data/ctwa_clid", 2804071, "a whatsapp event has the ctwa_clid of the click on the ad")
	p.validateClick()
	if p.text(slotPage) == "" && !filled {
		p.require(slotWhatsApp, "/user_data/whatsapp_business_account_id", 2804116,
			"a whatsapp event has the whatsapp_business_account_id, or the page_id")
	}
	p.digits(slotWhatsApp, "/user_data/whatsapp_business_account_id")
	p.digits(slotPage, "/user_data/page_id")
}

// validateClick finds a click id that is none at all: blank, or the placeholder
// of a template. What a real one looks like, only Meta knows.
func (p *parser) validateClick() {
	const pointer = "/user_data/ctwa_clid"
	switch click := p.kept[slotClick]; {
	case !click.sound || string(p.raw(slotClick)) == `""`:
	case scalar.IsBlank(p.raw(slotClick)):
		p.faultAt(pointer, Empty, 2804071, "ctwa_clid is blank; send the id that the webhook gave, or not this event")
	case scalar.IsPlaceholder(p.raw(slotClick)):
		p.faultAt(pointer, BadFormat, 2804087, "ctwa_clid is a placeholder, not the id of a click; send what the webhook gave")
	}
}

// digits finds fault with an id of Meta's that is there, and does not consist of
// digits.
func (p *parser) digits(at slot, pointer string) {
	if id := p.kept[at]; !id.sound || string(p.raw(at)) == `""` || scalar.IsDigits(rawjson.Inner(p.raw(at))) {
		return
	}
	found := "a text"
	switch id := p.raw(at); {
	case scalar.IsBlank(id):
		found = "blank"
	case scalar.IsPlaceholder(id):
		found = "a placeholder"
	case scalar.IsHash(id):
		found = "a hash"
	}
	p.faultAt(pointer, BadFormat, 0, lastToken(pointer)+" is "+found+", not an id of digits; send it as Meta's webhook or API gave it, and never hashed")
}

// validateInstagram takes either id of the account that Meta's guides name, and
// sends the one that the live API demands.
func (p *parser) validateInstagram(filled bool) {
	p.require(slotInstagramUser, "/user_data/ig_sid", 2804075, "an instagram event has the ig_sid")
	p.digits(slotInstagramUser, "/user_data/ig_sid")
	if filled {
		return
	}
	wanted, other := p.kept[slotInstagram], p.kept[slotInstagramBusiness]
	if p.text(slotInstagramBusiness) == "" || p.text(slotInstagram) != "" {
		p.require(slotInstagram, "/user_data/ig_account_id", 2804079,
			"an instagram event has the ig_account_id, or the instagram_business_account_id")
		p.digits(slotInstagram, "/user_data/ig_account_id")
		return
	}
	p.digits(slotInstagramBusiness, "/user_data/instagram_business_account_id")
	if wanted.null || wanted.there {
		p.remove(slotInstagram)
	}
	p.replace(other.name, other.nameEnd, `"ig_account_id"`)
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

func (p *parser) validateExtras() {
	for _, extra := range extras() {
		switch {
		case !p.kept[extra.at].there:
		case p.rules.MessagingExtras == Refuse:
			p.faultAt(extra.pointer, NotAllowed, 2804064, lastToken(extra.pointer)+" is not allowed on a business messaging event")
		default:
			p.remove(extra.at)
			p.event.Removed = append(p.event.Removed, extra.pointer)
			// Whatever was wrong with it goes with it.
			p.event.Faults = slices.DeleteFunc(p.event.Faults, func(f Fault) bool { return f.Pointer == extra.pointer })
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
