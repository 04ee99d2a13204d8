package event

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/customer"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/scalar"
)

// slot is a place where a draft keeps a member of the event, for rules that
// look at several of them.
type slot uint8

const (
	nowhere slot = iota // for members that nothing else looks at
	slotName
	slotID
	slotTime
	slotTestCode
	slotReference
	slotSource
	slotChannel
	slotURL
	slotUser
	slotCustom
	slotApp
	slotExtinfo
	slotTracking
	slotOptions
	slotOptionsCountry
	slotOptionsState
	slotIP
	slotUserAgent
	slotFBC
	slotFBP
	slotCountry
	slotPage
	slotPageUser
	slotWhatsApp
	slotClick
	slotInstagram
	slotInstagramBusiness
	slotInstagramUser
	slotValue
	slotCurrency
	slots // how many there are
)

// kept is where a member stands in the message.
type kept struct {
	name, nameEnd int64 // where its name begins and ends
	value, end    int64 // where its value begins and ends
	instead       int   // which of draft.mended is its value now; 0 if none
	null          bool  // it is there, and as good as absent
	there         bool  // it is there, and not null
	sound         bool  // it is what it should be
}

// draft is an event in the making: which members have been read, what is wrong
// with them, and what is to be changed.
type draft struct {
	body     []byte // the message
	event    *Event
	kept     [slots]kept
	people   []personalValue
	informed customer.Information
	edits    []rawjson.Edit
	unnamed  int      // faults beyond MaxFaults
	mended   []string // values in the form that Meta takes

	shared map[string]string // texts of events before, see [draft.common]
}

// begin makes the draft ready for another event. What it keeps from one event to
// the next is room.
func (d *draft) begin(body []byte, e *Event) {
	d.body, d.event, d.informed, d.unnamed = body, e, 0, 0
	if d.shared == nil {
		d.shared = make(map[string]string)
	}
	d.people, d.edits, d.mended = d.people[:0], d.edits[:0], d.mended[:0]
	clear(d.kept[:]) // in place: to copy a new draft here takes longer
}

// usualFaults is how many faults there is room for at the first: one seldom comes
// alone.
const usualFaults = 4

func (d *draft) faultAt(pointer string, code Code, subcode int, message string) {
	if len(d.event.Faults) >= MaxFaults {
		d.unnamed++
		return
	}
	if d.event.Faults == nil {
		d.event.Faults = make([]Fault, 0, usualFaults)
	}
	d.event.Faults = append(d.event.Faults, Fault{Pointer: pointer, Code: code, Subcode: subcode, Message: message})
}

// faults returns how many faults the event has so far.
func (d *draft) faults() int { return len(d.event.Faults) + d.unnamed }

// countTheRest adds the fault that stands for those beyond MaxFaults.
func (d *draft) countTheRest() {
	if d.unnamed > 0 {
		d.event.Faults = append(d.event.Faults, MoreThan(d.unnamed))
	}
}

func (d *draft) warnAt(pointer string, code Code, message string) {
	d.event.Warnings = append(d.event.Warnings, Fault{Pointer: pointer, Code: code, Message: message})
}

// require finds fault with a member that is absent, or an empty string. One
// that is something else than it should be has its fault already.
func (d *draft) require(at slot, pointer string, subcode int, message string) {
	switch k := d.kept[at]; {
	case !k.there:
		d.faultAt(pointer, Missing, subcode, message)
	case k.sound && string(d.raw(at)) == `""`:
		d.faultAt(pointer, Empty, subcode, message+"; it is empty")
	}
}

// need is require for members whose empty string is as good as none.
func (d *draft) need(at slot, pointer string, subcode int, message string) {
	if k := d.kept[at]; !k.there || string(d.raw(at)) == `""` {
		d.faultAt(pointer, Missing, subcode, message)
	}
}

// isObject reports whether a member is there, and is an object.
func (d *draft) isObject(at slot) bool {
	k := d.kept[at]
	return k.there && d.body[k.value] == '{'
}

// mayHold reports whether a member may be blamed for what it does not hold: it
// is an object, or absent.
func (d *draft) mayHold(at slot) bool { return !d.kept[at].there || d.isObject(at) }

// digits finds fault with an id of Meta's that is there, and does not consist of
// digits.
func (d *draft) digits(at slot, pointer string) {
	if id := d.kept[at]; !id.sound || string(d.raw(at)) == `""` || scalar.IsDigits(rawjson.Inner(d.raw(at))) {
		return
	}
	found := "a text"
	switch id := d.raw(at); {
	case scalar.IsBlank(id):
		found = "blank"
	case scalar.IsPlaceholder(id):
		found = "a placeholder"
	case scalar.IsHash(id):
		found = "a hash"
	}
	d.faultAt(pointer, BadFormat, 0, lastToken(pointer)+" is "+found+", not an id of digits; send it as Meta's webhook or API gave it, and never hashed")
}

// text returns the text of a kept string, or a kept number as it is spelled;
// "" if it is not there, or not what it should be.
func (d *draft) text(at slot) string { return string(d.spelled(at)) }

// spelled is the same, as long as the message is read.
func (d *draft) spelled(at slot) []byte {
	if !d.kept[at].sound {
		return nil
	}
	return rawjson.Inner(d.raw(at))
}

// common is the same text as a string that many events share: names of events and
// ids of accounts are few, and come again and again.
func (d *draft) common(at slot) string {
	const most, longest = 1000, 64
	spelled := d.spelled(at)
	if text, known := d.shared[string(spelled)]; known || len(spelled) == 0 {
		return text
	}
	text := string(spelled)
	if len(d.shared) < most && len(text) <= longest {
		d.shared[text] = text
	}
	return text
}

// raw returns a kept value as it is spelled, or as it was repaired.
func (d *draft) raw(at slot) jsontext.Value {
	if instead := d.kept[at].instead; instead > 0 {
		return jsontext.Value(d.mended[instead-1])
	}
	return d.body[d.kept[at].value:d.kept[at].end]
}

// holds reports whether a text is there, sound and not empty.
func (d *draft) holds(at slot) bool { return d.kept[at].sound && string(d.raw(at)) != `""` }

// inform notes a member of user_data, unless it is null or empty, or holds
// nothing else.
func (d *draft) inform(name []byte, value jsontext.Value) {
	if said := bytes.Trim(value, `[]{}",`+rawjson.Space); len(said) > 0 && string(said) != "null" {
		d.informed |= customer.Says(name)
	}
}

// mend keeps a repaired value, and returns which one it is.
func (d *draft) mend(instead string) int {
	d.mended = append(d.mended, instead)
	return len(d.mended)
}

// replace puts something else in the place of a stretch of the message.
func (d *draft) replace(from, to int64, instead string) {
	d.edits = append(d.edits, rawjson.Edit{From: from, To: to, Instead: instead})
}

// remove takes a kept member out of its object.
func (d *draft) remove(at slot) {
	d.edits = append(d.edits, rawjson.Edit{From: d.kept[at].name, To: d.kept[at].end, Remove: true})
}
