package event

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
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
// a chat, which Meta takes without the ids of the chat's channel, and checks it anew.
func (d *Decoder) LeaveChat(e *Event) {
	d.leaves = true
	d.again(e)
	d.leaves = false
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
	source, channel := &r.kept[slotSource], &r.kept[slotChannel]
	if !r.leaves || !source.sound {
		return
	}
	value := `"` + string(Chat) + `"`
	r.replace(source.value, source.end, value)
	source.instead = r.mend(value)
	if channel.there || channel.null {
		r.remove(slotChannel)
		*channel = kept{}
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
