package event

import (
	"bytes"
	"time"

	iso4217 "github.com/bojanz/currency"
	tender "golang.org/x/text/currency"
)

// The codes of the warnings that this package has.
const (
	NoUserAgent       Code = "no_user_agent"      // a website event without one
	NoTrackingFlag    Code = "no_tracking_flag"   // an app event that does not say whether tracking was allowed
	WithdrawnCurrency Code = "withdrawn_currency" // ISO 4217 no longer has it
	BadAddress        Code = "bad_address"        // client_ip_address is no IP address
	BadURL            Code = "bad_url"            // event_source_url is none
	BadClick          Code = "bad_click"          // fbc or fbp is blank, or was never filled in
	SentLate          Code = "sent_late"          // over an hour after it happened
)

// WarningCodes lists the codes of all warnings.
func WarningCodes() []Code {
	return []Code{NoUserAgent, NoTrackingFlag, WithdrawnCurrency, BadAddress, BadURL, BadClick, SentLate}
}

// promptly is how soon Meta wants to hear of an event. Source: Meta, "Using the
// API", Conversions API (2026): as soon as it occurs, ideally within an hour.
const promptly = time.Hour

// CheckPromptness warns of an event that is sent late, at a moment. It returns
// nil when it is sent soon enough, or from a store, where Meta allows for weeks;
// and when it is too late to be sent at all.
func (e *Event) CheckPromptness(now time.Time) *Fault {
	if e.Time.IsZero() || e.ActionSource == PhysicalStore || now.Sub(e.Time) <= promptly || now.After(e.ExpiresAt()) {
		return nil
	}
	return &Fault{Pointer: "/event_time", Code: SentLate, Message: "event_time is more than an hour ago; " +
		"Meta wants events as soon as they occur, and makes less of late ones"}
}

// warn notes what Meta takes, but may not be able to use.
func (p *parser) warn() {
	switch p.event.ActionSource {
	case Website:
		p.warnOfWebsite()
	case App:
		if p.isObject(slotApp) && !p.kept[slotTracking].there {
			p.warnAt("/app_data/advertiser_tracking_enabled", NoTrackingFlag, "an app event says whether tracking was allowed: "+
				"write advertiser_tracking_enabled, 1 or 0; without it Meta takes it for a no")
		}
	case BusinessMessaging: // what belongs to a browser does not go there
	default:
		p.warnOfBrowser()
	}
	if at := p.kept[slotCurrency]; at.sound && isWithdrawn(inner(p.raw(slotCurrency))) {
		p.warnAt("/custom_data/currency", WithdrawnCurrency, "currency is "+quotedForPeople(p.text(slotCurrency))+
			", which ISO 4217 no longer has; write the one that has replaced it")
	}
}

func (p *parser) warnOfWebsite() {
	if !p.holds(slotUserAgent) {
		p.warnAt("/user_data/client_user_agent", NoUserAgent, "a website event has the client_user_agent of the browser; without it Meta matches fewer events")
	}
	if p.holds(slotURL) && !isWebAddress(inner(p.raw(slotURL))) {
		p.warnAt("/event_source_url", BadURL, "event_source_url is not the address of a page; write all of it, like https://shop.example/thanks")
	}
	p.warnOfBrowser()
}

// warnOfBrowser is for what a browser tells.
func (p *parser) warnOfBrowser() {
	if p.holds(slotIP) && !isAddress(inner(p.raw(slotIP))) {
		p.warnAt("/user_data/client_ip_address", BadAddress, "client_ip_address is not one IP address, in the clear; Meta cannot use a hash or a list")
	}
	for at, pointer := range [...]string{slotFBC: "/user_data/fbc", slotFBP: "/user_data/fbp"} {
		if at := slot(at); pointer != "" && p.holds(at) && (isBlank(p.raw(at)) || isPlaceholder(p.raw(at))) {
			p.warnAt(pointer, BadClick, lastToken(pointer)+" is blank or a placeholder; send the browser's cookie as it is, or leave it out")
		}
	}
}

// holds reports whether a text is there, sound and not empty.
func (p *parser) holds(at slot) bool { return p.kept[at].sound && string(p.raw(at)) != `""` }

func (p *parser) warnAt(pointer string, code Code, message string) {
	p.event.Warnings = append(p.event.Warnings, Fault{Pointer: pointer, Code: code, Message: message})
}

// isAddress recognises an IP address by its characters: which addresses there
// are is Meta's matter, and hashes and lists look different.
func isAddress(text []byte) bool {
	const longest = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")
	for _, c := range text {
		hexadecimal := c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
		if !hexadecimal && c != '.' && c != ':' {
			return false
		}
	}
	return len(text) <= longest && bytes.ContainsAny(text, ".:")
}

// isWebAddress recognises the address of a page: a scheme, a host, no white
// space.
func isWebAddress(text []byte) bool {
	scheme, host, _ := bytes.Cut(text, []byte("://"))
	return (bytes.EqualFold(scheme, []byte("https")) || bytes.EqualFold(scheme, []byte("http"))) &&
		len(host) > 0 && host[0] != '/' && !bytes.ContainsAny(text, space+"<>")
}

// isCurrency reports whether a text is a code of ISO 4217, in either case.
func isCurrency(text []byte) bool {
	code, ok := asCode(text)
	return ok && iso4217.IsValid(string(code[:]))
}

// isWithdrawn reports whether a text is the code of a currency that people paid
// in, and that ISO 4217 no longer has: many shops learn of that late.
func isWithdrawn(text []byte) bool {
	code, ok := asCode(text)
	if !ok || iso4217.IsValid(string(code[:])) {
		return false
	}
	for all := tender.Query(tender.Historical); all.Next(); {
		if all.Unit().String() == string(code[:]) {
			return true
		}
	}
	return false
}

// asCode raises three letters. There are letters beyond ASCII whose capitals are
// in it: no code has those.
func asCode(text []byte) (code [3]byte, ok bool) {
	if len(text) != len(code) {
		return code, false
	}
	for i, c := range text {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		code[i] = c
	}
	return code, true
}
