package event

import (
	"bytes"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
)

// Fill has the decoder fill these accounts into messaging events that name none
// of their channel's. It holds until it is called again.
func (d *Decoder) Fill(accounts Assets) { d.accounts = accounts }

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
	member := `"` + name + `":"` + id + `"`
	inside := r.kept[slotUser].value + 1
	if !bytes.HasPrefix(bytes.TrimLeft(r.body[inside:], rawjson.Space), []byte("}")) {
		member += ","
	}
	r.replace(inside, inside, member)
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
