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
func (p *parser) fillAccount() bool {
	name, id, own := "", "", (*string)(nil)
	var slots []slot
	switch assets := &p.event.Assets; p.event.Channel {
	case Messenger:
		name, id, own, slots = "page_id", p.accounts.Page, &assets.Page, []slot{slotPage}
	case WhatsApp:
		name, id, own, slots = "whatsapp_business_account_id", p.accounts.WhatsApp, &assets.WhatsApp, []slot{slotWhatsApp, slotPage}
	case Instagram:
		name, id, own, slots = "ig_account_id", p.accounts.Instagram, &assets.Instagram, []slot{slotInstagram, slotInstagramBusiness}
	}
	if id == "" || !p.isObject(slotUser) {
		return false
	}
	for _, at := range slots {
		if p.kept[at].there || p.kept[at].null {
			return false
		}
	}
	member := `"` + name + `":"` + id + `"`
	inside := p.kept[slotUser].value + 1
	if !bytes.HasPrefix(bytes.TrimLeft(p.body[inside:], rawjson.Space), []byte("}")) {
		member += ","
	}
	p.replace(inside, inside, member)
	*own, p.event.Filled = id, "/user_data/"+name
	return true
}
