package event

import (
	"bytes"
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
)

// Meta's acceptance windows, counted back from the moment it receives an
// event. Source: Meta, "Using the API" and server event parameters (2026).
const (
	MaxAge              = 7 * 24 * time.Hour
	MaxAgePhysicalStore = 62 * 24 * time.Hour
)

// MaxAge returns how old the event may be when Meta receives it.
func (e *Event) MaxAge() time.Duration {
	if e.ActionSource == PhysicalStore {
		return MaxAgePhysicalStore
	}
	return MaxAge
}

// ExpiresAt returns from when on Meta no longer accepts the event.
func (e *Event) ExpiresAt() time.Time { return e.Time.Add(e.MaxAge()) }

// CheckTime returns what Meta would find wrong with the event's time at a
// moment; nil if the time is fine.
func (e *Event) CheckTime(now time.Time) *Fault {
	switch {
	case now.After(e.ExpiresAt()):
		return &Fault{Pointer: "/event_time", Code: TooOld, Subcode: 2804003, Message: fmt.Sprintf(
			"event_time is older than the %d days that Meta accepts for this action_source", int(e.MaxAge().Hours()/24))}
	case e.Time.After(now):
		return &Fault{Pointer: "/event_time", Code: InFuture, Subcode: 2804004, Message: fmt.Sprintf(
			"event_time lies %s in the future", e.Time.Sub(now).Round(time.Second))}
	default:
		return nil
	}
}

// Meta's subcodes that more than one rule has.
const (
	missingField = 2804019
	missingLDU   = 2804030
)

// finish completes an event of which all members have been read: the rules
// that look at more than one member, and the changes that rules demand.
func (p *parser) finish(from, to int64) {
	p.fillSource(from)
	p.assign()
	p.require(slotName, "/event_name", missingField, "every event has an event_name")
	p.require(slotTime, "/event_time", missingField, "every event has an event_time, in seconds since 1970")
	p.require(slotUser, "/user_data", missingField, "every event has a user_data object")
	p.require(slotSource, "/action_source", missingField, p.needsSource)
	switch p.event.ActionSource {
	case BusinessMessaging:
		p.validateMessaging()
	case Website:
		p.require(slotURL, "/event_source_url", missingField, "a website event has the event_source_url where it happened")
	case App:
		p.require(slotApp, "/app_data", missingField, "an app event has app_data")
		if p.isObject(slotApp) {
			p.require(slotExtinfo, "/app_data/extinfo", missingField, "an app event has extinfo in app_data")
		}
	}
	p.validateLimitedDataUse()
	p.validatePurchase()
	if p.rules.HashPersonalData {
		p.protect()
	}
	p.validateInformation()
	p.liftTestCode()
	p.warn()
	p.countTheRest()
	p.event.Raw = rawjson.Edited(p.body, from, to, p.edits)
	if len(p.edits) > 0 {
		p.event.Published = p.body[from:to]
	}
}

// refuse completes an event that is no object.
func (p *parser) refuse(from, to int64) {
	p.faultAt("", WrongType, 0, "an event is a JSON object")
	p.event.Raw = p.body[from:to]
	if p.rules.HashPersonalData {
		p.event.Published, p.event.Raw = p.event.Raw, Mask(p.event.Raw)
		if !jsontext.Value(p.event.Raw).IsValid() { // there was an escape in it
			p.event.Raw = []byte(redacted)
		}
	}
}

// liftTestCode takes a test_event_code out of the event, where Meta would not
// look for it: the event would count as a real one. It belongs beside the events.
// One that is none stays, so that the event is as faulty when it is published
// again.
func (p *parser) liftTestCode() {
	if code := p.kept[slotTestCode]; code.sound || code.null {
		p.event.TestEventCode = p.text(slotTestCode)
		p.remove(slotTestCode)
	}
}

// assign fills in what the dispatcher needs to know of the event.
func (p *parser) assign() {
	e := p.event
	e.Name, e.ID, e.ActionSource = p.text(slotName), p.text(slotID), ActionSource(p.text(slotSource))
	if seconds, err := strconv.ParseInt(p.text(slotTime), 10, 64); err == nil {
		e.Time = time.Unix(seconds, 0)
	}
	e.Assets = Assets{
		Page: p.text(slotPage), WhatsApp: p.text(slotWhatsApp),
		Instagram: cmp.Or(p.text(slotInstagram), p.text(slotInstagramBusiness)),
	}
}

// require finds fault with a member that is absent, or an empty string. One
// that is something else than it should be has its fault already.
func (p *parser) require(at slot, pointer string, subcode int, message string) {
	switch k := p.kept[at]; {
	case !k.there:
		p.faultAt(pointer, Missing, subcode, message)
	case k.sound && string(p.raw(at)) == `""`:
		p.faultAt(pointer, Empty, subcode, message+"; it is empty")
	}
}

// limitedDataUse is the only data processing option there is.
const limitedDataUse = "LDU"

// validateLimitedDataUse: limited data use needs to know for which country,
// and for which state unless Meta can find out by the address. Source: Meta,
// server event parameters (2026).
func (p *parser) validateLimitedDataUse() {
	if !p.kept[slotOptions].sound || !bytes.Contains(p.raw(slotOptions), []byte(`"`)) {
		return
	}
	const with = " with the option LDU"
	p.require(slotOptionsCountry, "/data_processing_options_country", missingLDU, "a country, 0 or 1, is needed"+with)
	if p.text(slotIP) == "" || p.event.ActionSource == BusinessMessaging {
		p.require(slotOptionsState, "/data_processing_options_state", missingLDU,
			"a state, 0 or 1000, is needed"+with+" where there is no client_ip_address")
	}
}

// validatePurchase: a purchase has a price. Meta knows no ouguiya (MRU) there,
// as users of the live API have found.
func (p *parser) validatePurchase() {
	if p.event.Name != "Purchase" || !p.mayHold(slotCustom) {
		return
	}
	p.need(slotValue, "/custom_data/value", 2804009, "a Purchase has a value")
	p.need(slotCurrency, "/custom_data/currency", 2804010, "a Purchase has a currency, like USD")
	if strings.EqualFold(p.text(slotCurrency), "MRU") {
		p.faultAt("/custom_data/currency", UnknownValue, 2804011, "Meta takes no purchases in MRU")
	}
}

// need is require for members whose empty string is as good as none.
func (p *parser) need(at slot, pointer string, subcode int, message string) {
	if k := p.kept[at]; !k.there || string(p.raw(at)) == `""` {
		p.faultAt(pointer, Missing, subcode, message)
	}
}

// isObject reports whether a member is there, and is an object.
func (p *parser) isObject(at slot) bool {
	k := p.kept[at]
	return k.there && p.body[k.value] == '{'
}

// mayHold reports whether a member may be blamed for what it does not hold: it
// is an object, or absent.
func (p *parser) mayHold(at slot) bool { return !p.kept[at].there || p.isObject(at) }

// validateInformation: Meta has to be able to find the customer. In chats the
// ids of the channel do that.
func (p *parser) validateInformation() {
	if p.event.ActionSource == BusinessMessaging || !p.isObject(slotUser) || !p.informed.tooBroad() {
		return
	}
	message := "user_data says nothing of the customer; Meta wants at least one parameter to match"
	if p.informed != 0 {
		message = "what user_data says of the customer fits too many people; Meta wants more, such as em, ph or external_id"
	}
	p.faultAt("/user_data", Insufficient, 2804050, message)
}
