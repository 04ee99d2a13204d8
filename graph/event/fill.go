package event

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/reference"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/scalar"
)

// Fill has the decoder fill these accounts into messaging events that name none
// of their channel's. It holds until it is called again.
func (d *Decoder) Fill(accounts Assets) { d.accounts = accounts }

// Complete fills into a messaging event the id of its person, as the event's
// channel has it, and the account, where the event names none, and checks the
// event anew. It stays known as what was published.
func (d *Decoder) Complete(e *Event, person string, accounts Assets) {
	filled := d.accounts
	d.person, d.accounts = person, accounts
	d.again(e)
	d.person, d.accounts = "", filled
}

// LeaveChat makes of a messaging event one that merely says that it has happened in
// a chat, which Meta takes without the ids of the chat's channel, and checks anew
// whether it says enough of the customer without them. It stays known whose account
// it was.
func (d *Decoder) LeaveChat(e *Event) {
	assets := e.Assets
	d.leaves = true
	d.again(e)
	d.leaves = false
	d.again(e)
	e.Assets = assets
}

// again reads an event that has been read before, and keeps what was known of it.
func (d *Decoder) again(e *Event) {
	request, err := d.decode(e.Raw)
	if err != nil || len(request.Events) != 1 { // unreachable: it has been read before
		return
	}
	now := request.Events[0]
	if now.Published = e.Published; now.Published == nil {
		now.Published = e.Raw
	}
	now.TestEventCode, now.Reference = e.TestEventCode, e.Reference
	now.Filled = cmp.Or(now.Filled, e.Filled)
	now.Removed, now.Repaired = slices.Concat(e.Removed, now.Removed), slices.Concat(e.Repaired, now.Repaired)
	*e = now
}

// personSlots are where each channel has the id of the person.
func personSlots() map[Channel]slot {
	return map[Channel]slot{Messenger: slotPageUser, WhatsApp: slotClick, Instagram: slotInstagramUser}
}

// fillPerson fills in the id of the event's person, where there is none.
func (r review) fillPerson() {
	at := personSlots()[r.event.Channel]
	if k := r.kept[at]; r.person == "" || at == nowhere || r.holds(at) || k.there && !k.sound {
		return
	}
	quoted, err := jsontext.AppendQuote(nil, r.person)
	if err != nil {
		return // no text
	}
	value := string(quoted)
	if k := r.kept[at]; k.there || k.null {
		r.replace(k.value, k.end, value)
	} else {
		r.insert(slotUser, `"`+r.event.Channel.PersonMember()+`":`+value)
	}
	r.kept[at] = kept{there: true, sound: true, instead: r.mend(value)}
}

// insert puts a member into an object, before those that it has.
func (r review) insert(into slot, member string) {
	inside := r.kept[into].value + 1
	for i := range r.edits {
		if e := &r.edits[i]; e.From == inside && e.To == inside {
			e.Instead = member + "," + e.Instead
			return
		}
	}
	if !bytes.HasPrefix(bytes.TrimLeft(r.body[inside:], rawjson.Space), []byte("}")) {
		member += ","
	}
	r.replace(inside, inside, member)
}

// leaveChat takes out what makes the event one of a chat's channel.
func (r review) leaveChat() {
	source := &r.kept[slotSource]
	if !r.leaves || !source.sound {
		return
	}
	value := `"` + string(Chat) + `"`
	r.replace(source.value, source.end, value)
	source.instead = r.mend(value)
	for _, at := range []slot{
		slotChannel, slotPage, slotPageUser, slotWhatsApp, slotClick, slotInstagram, slotInstagramBusiness, slotInstagramUser,
	} {
		if k := &r.kept[at]; k.there || k.null {
			r.remove(at)
			*k = kept{}
		}
	}
}

// fillAccount names the channel's account where the event names none, and
// reports whether it did. A member that is there, whatever it holds, is left alone.
func (r review) fillAccount() bool {
	name, id, own := "", "", (*string)(nil)
	var slots []slot
	switch assets := &r.event.Assets; r.event.Channel {
	case Messenger:
		name, id, own, slots = "page_id", r.accounts.Page, &assets.Page, []slot{slotPage}
	case WhatsApp:
		name, id, own, slots = "whatsapp_business_account_id", r.accounts.WhatsApp, &assets.WhatsApp,
			[]slot{slotWhatsApp, slotPage}
	case Instagram:
		name, id, own, slots = "ig_account_id", r.accounts.Instagram, &assets.Instagram,
			[]slot{slotInstagram, slotInstagramBusiness}
	}
	if id == "" || !r.isObject(slotUser) {
		return false
	}
	for _, at := range slots {
		if r.kept[at].there || r.kept[at].null {
			return false
		}
	}
	r.insert(slotUser, `"`+name+`":"`+id+`"`)
	*own, r.event.Filled = id, "/user_data/"+name
	return true
}

// fillSource gives an event an action_source that has none, if one is
// configured for such.
func (r review) fillSource(from int64) {
	source := &r.kept[slotSource]
	if r.rules.DefaultActionSource == "" || source.there {
		return
	}
	const pointer = "/action_source"
	value := `"` + string(r.rules.DefaultActionSource) + `"`
	if source.null {
		r.replace(source.value, source.end, value)
	} else {
		member := `"action_source":` + value
		if first := bytes.TrimLeft(r.body[from+1:], rawjson.Space); first[0] != '}' {
			member += ","
		}
		r.replace(from+1, from+1, member)
	}
	*source = kept{there: true, sound: true, instead: r.mend(value)}
	r.event.Repaired = append(r.event.Repaired, pointer)
}

// liftReference takes _capi out of the event: it is not for Meta, and may hold a
// phone number in the clear.
func (r review) liftReference() {
	at := r.kept[slotReference]
	if !at.there && !at.null {
		return
	}
	r.remove(slotReference)
	r.event.Reference = reference.Parse(r.body[at.value:at.end])
	if at.there && r.event.Reference == nil {
		r.warnAt("/"+reference.Member, BadReference, "_capi says nothing that a person could be found by; "+
			"write conversation_id, wa_id, phone or user_id, as a text")
	}
}

// PersonMember is the member of user_data by which Meta knows the person of a
// messaging event: the click on the ad, or the id that the channel has for the
// person. It is "" where there is no such channel.
func (c Channel) PersonMember() string {
	switch c {
	case Messenger:
		return "page_scoped_user_id"
	case WhatsApp:
		return "ctwa_clid"
	case Instagram:
		return "ig_sid"
	default:
		return ""
	}
}

// Of returns the account of a channel.
func (a Assets) Of(c Channel) string {
	switch c {
	case Messenger:
		return a.Page
	case WhatsApp:
		return a.WhatsApp
	case Instagram:
		return a.Instagram
	default:
		return ""
	}
}

// LacksPerson reports whether nothing is wrong with a messaging event but that it does
// not say which person or account of its channel it is about.
func (e *Event) LacksPerson() bool {
	person := e.Channel.PersonMember()
	if len(e.Faults) == 0 || person == "" {
		return false
	}
	lacks := false
	for _, fault := range e.Faults {
		if fault.Code != Missing && fault.Code != Empty {
			return false
		}
		switch member := strings.TrimPrefix(fault.Pointer, "/user_data/"); member {
		case person:
			lacks = true
		case "page_id", "whatsapp_business_account_id", "ig_account_id":
		default:
			return false
		}
	}
	return lacks
}

// Phones are the phone numbers in user_data, as they are there: hashed, mostly.
func (e *Event) Phones() []string {
	var told struct {
		User struct {
			Phone json.RawMessage `json:"ph"`
		} `json:"user_data"`
	}
	if json.Unmarshal(e.Raw, &told) != nil || len(told.User.Phone) == 0 {
		return nil
	}
	var several []reference.Word
	if json.Unmarshal(told.User.Phone, &several) == nil {
		phones := make([]string, 0, len(several))
		for _, one := range several {
			phones = append(phones, string(one))
		}
		return phones
	}
	var one reference.Word
	if json.Unmarshal(told.User.Phone, &one) != nil || one == "" {
		return nil
	}
	return []string{string(one)}
}

// IsScopedID reports whether a text may be the id that Messenger or Instagram has for
// a person: digits.
func IsScopedID(text string) bool { return text != "" && scalar.IsDigits([]byte(text)) }

// ScopedID returns the id that Messenger or Instagram has for the person of the event;
// "" if it has none.
func (e *Event) ScopedID() string {
	var told struct {
		User struct {
			Page      reference.Word `json:"page_scoped_user_id"`
			Instagram reference.Word `json:"ig_sid"`
		} `json:"user_data"`
	}
	if json.Unmarshal(e.Raw, &told) != nil {
		return ""
	}
	return cmp.Or(string(told.User.Page), string(told.User.Instagram))
}
