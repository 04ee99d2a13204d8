package event

import (
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/scalar"
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
	BadReference      Code = "bad_reference"      // _capi leads to nobody
)

// WarningCodes lists the codes of all warnings.
func WarningCodes() []Code {
	return []Code{NoUserAgent, NoTrackingFlag, WithdrawnCurrency, BadAddress, BadURL, BadClick, SentLate, BadReference}
}

// promptly is how soon Meta wants to hear of an event. Source: Meta, "Using the
// API", Conversions API (2026): as soon as it occurs, ideally within an hour.
const promptly = time.Hour

// CheckPromptness warns of an event that is sent late, at a moment. It returns
// nil when it is sent soon enough, or from a store, where Meta allows for weeks;
// and when it is too late to be sent at all.
func (e *Event) CheckPromptness(now time.Time) *Fault {
	if at := e.LateAt(); at.IsZero() || !now.After(at) || now.After(e.ExpiresAt()) {
		return nil
	}
	return &Fault{Pointer: "/event_time", Code: SentLate, Message: "event_time is more than an hour ago; " +
		"Meta wants events as soon as they occur, and makes less of late ones"}
}

// LateAt returns from when on an event is late for Meta; zero if it cannot be, as
// one from a store, or one that has no time.
func (e *Event) LateAt() time.Time {
	if e.Time.IsZero() || e.ActionSource == PhysicalStore {
		return time.Time{}
	}
	return e.Time.Add(promptly)
}

// warn notes what Meta takes, but may not be able to use.
func (r review) warn() {
	switch r.event.ActionSource {
	case Website:
		r.warnOfWebsite()
	case App:
		if r.isObject(slotApp) && !r.kept[slotTracking].there {
			r.warnAt("/app_data/advertiser_tracking_enabled", NoTrackingFlag, "an app event says whether tracking was allowed: "+
				"write advertiser_tracking_enabled, 1 or 0; without it Meta takes it for a no")
		}
	case BusinessMessaging: // what belongs to a browser does not go there
	default:
		r.warnOfBrowser()
	}
	if at := r.kept[slotCurrency]; at.sound && scalar.IsWithdrawn(rawjson.Inner(r.raw(slotCurrency))) {
		r.warnAt("/custom_data/currency", WithdrawnCurrency, "currency is "+scalar.Quoted(r.text(slotCurrency))+
			", which ISO 4217 no longer has; write the one that has replaced it")
	}
}

func (r review) warnOfWebsite() {
	if !r.holds(slotUserAgent) {
		r.warnAt("/user_data/client_user_agent", NoUserAgent, "a website event has the client_user_agent of the browser; without it Meta matches fewer events")
	}
	if r.holds(slotURL) && !scalar.IsWebAddress(rawjson.Inner(r.raw(slotURL))) {
		r.warnAt("/event_source_url", BadURL, "event_source_url is not the address of a page; write all of it, like https://shop.example/thanks")
	}
	r.warnOfBrowser()
}

// warnOfBrowser is for what a browser tells.
func (r review) warnOfBrowser() {
	if r.holds(slotIP) && !scalar.IsAddress(rawjson.Inner(r.raw(slotIP))) {
		r.warnAt("/user_data/client_ip_address", BadAddress, "client_ip_address is not one IP address, in the clear; Meta cannot use a hash or a list")
	}
	for at, pointer := range [...]string{slotFBC: "/user_data/fbc", slotFBP: "/user_data/fbp"} {
		if at := slot(at); pointer != "" && r.holds(at) && (scalar.IsBlank(r.raw(at)) || scalar.IsPlaceholder(r.raw(at))) {
			r.warnAt(pointer, BadClick, lastToken(pointer)+" is blank or a placeholder; send the browser's cookie as it is, or leave it out")
		}
	}
}
