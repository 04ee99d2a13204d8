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

// review looks at an event as a whole, once all its members have been read.
type review struct {
	*draft
	*terms
}

// finish completes an event of which all members have been read: the rules
// that look at more than one member, and the changes that rules demand.
func (r review) finish(from, to int64) {
	r.fillSource(from)
	r.leaveChat()
	r.assign()
	r.require(slotName, "/event_name", missingField, "every event has an event_name")
	r.require(slotTime, "/event_time", missingField, "every event has an event_time, in seconds since 1970")
	r.require(slotUser, "/user_data", missingField, "every event has a user_data object")
	r.require(slotSource, "/action_source", missingField, r.needsSource)
	switch r.event.ActionSource {
	case BusinessMessaging:
		r.validateMessaging()
	case Website:
		r.require(slotURL, "/event_source_url", missingField, "a website event has the event_source_url where it happened")
	case App:
		r.require(slotApp, "/app_data", missingField, "an app event has app_data")
		if r.isObject(slotApp) {
			r.require(slotExtinfo, "/app_data/extinfo", missingField, "an app event has extinfo in app_data")
		}
	}
	r.validateLimitedDataUse()
	r.validatePurchase()
	if r.rules.HashPersonalData {
		r.protect()
	}
	r.validateInformation()
	r.liftTestCode()
	r.liftReference()
	r.warn()
	r.countTheRest()
	r.event.Raw = rawjson.Edited(r.body, from, to, r.edits)
	if len(r.edits) > 0 {
		r.event.Published = r.body[from:to]
	}
}

// refuse completes an event that is no object.
func (r review) refuse(from, to int64) {
	r.faultAt("", WrongType, 0, "an event is a JSON object")
	r.event.Raw = r.body[from:to]
	if r.rules.HashPersonalData {
		r.event.Published, r.event.Raw = r.event.Raw, Mask(r.event.Raw)
		if !jsontext.Value(r.event.Raw).IsValid() { // there was an escape in it
			r.event.Raw = []byte(redacted)
		}
	}
}

// liftTestCode takes a test_event_code out of the event, where Meta would not
// look for it: the event would count as a real one. It belongs beside the events.
// One that is none stays, so that the event is as faulty when it is published
// again.
func (r review) liftTestCode() {
	if code := r.kept[slotTestCode]; code.sound || code.null {
		r.event.TestEventCode = r.text(slotTestCode)
		r.remove(slotTestCode)
	}
}

// assign fills in what the dispatcher needs to know of the event.
func (r review) assign() {
	e := r.event
	e.Name, e.ID, e.ActionSource = r.common(slotName), r.text(slotID), ActionSource(r.common(slotSource))
	if r.kept[slotTime].sound {
		if seconds, err := strconv.ParseInt(string(r.spelled(slotTime)), 10, 64); err == nil {
			e.Time = time.Unix(seconds, 0)
		}
	}
	e.Assets = Assets{
		Page: r.common(slotPage), WhatsApp: r.common(slotWhatsApp),
		Instagram: cmp.Or(r.common(slotInstagram), r.common(slotInstagramBusiness)),
	}
}

// limitedDataUse is the only data processing option there is.
const limitedDataUse = "LDU"

// validateLimitedDataUse: limited data use needs to know for which country,
// and for which state unless Meta can find out by the address. Source: Meta,
// server event parameters (2026).
func (r review) validateLimitedDataUse() {
	if !r.kept[slotOptions].sound || !bytes.Contains(r.raw(slotOptions), []byte(`"`)) {
		return
	}
	const with = " with the option LDU"
	r.require(slotOptionsCountry, "/data_processing_options_country", missingLDU, "a country, 0 or 1, is needed"+with)
	if len(r.spelled(slotIP)) == 0 || r.event.ActionSource == BusinessMessaging {
		r.require(slotOptionsState, "/data_processing_options_state", missingLDU,
			"a state, 0 or 1000, is needed"+with+" where there is no client_ip_address")
	}
}

// validatePurchase: a purchase has a price. Meta knows no ouguiya (MRU) there,
// as users of the live API have found.
func (r review) validatePurchase() {
	if r.event.Name != "Purchase" || !r.mayHold(slotCustom) {
		return
	}
	r.need(slotValue, "/custom_data/value", 2804009, "a Purchase has a value")
	r.need(slotCurrency, "/custom_data/currency", 2804010, "a Purchase has a currency, like USD")
	if strings.EqualFold(string(r.spelled(slotCurrency)), "MRU") {
		r.faultAt("/custom_data/currency", UnknownValue, 2804011, "Meta takes no purchases in MRU")
	}
}

// validateInformation: Meta has to be able to find the customer. In chats the
// ids of the channel do that.
func (r review) validateInformation() {
	if r.event.ActionSource == BusinessMessaging || !r.isObject(slotUser) || !r.informed.TooBroad() {
		return
	}
	message := "user_data says nothing of the customer; Meta wants at least one parameter to match"
	if r.informed != 0 {
		message = "what user_data says of the customer fits too many people; Meta wants more, such as em, ph or external_id"
	}
	r.faultAt("/user_data", Insufficient, 2804050, message)
}
