package webhook

import (
	"encoding/json"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// messaging is an update of Messenger or Instagram. Source: Meta, Messenger Platform
// webhooks (messages, messaging_postbacks, messaging_referrals; 2026).
type messaging struct {
	Sender    struct{ ID id } `json:"sender"`
	Recipient struct{ ID id } `json:"recipient"`
	At        moment          `json:"timestamp"`
	Message   *struct {
		IsEcho bool `json:"is_echo"`
		IsSelf bool `json:"is_self"`
	} `json:"message"`
	Postback json.RawMessage `json:"postback"`
	Referral json.RawMessage `json:"referral"`
}

// written reports whether it is the person who has done something: has written, has
// pressed a button, or has come back by an ad or a link.
func (m *messaging) written() bool {
	if m.Message != nil {
		return !m.Message.IsEcho && !m.Message.IsSelf
	}
	return m.Postback != nil || m.Referral != nil
}

func (r *Reduced) messaging(channel event.Channel, account string, list []json.RawMessage) {
	for _, raw := range list {
		r.conversation(channel, account, raw)
	}
}

func (r *Reduced) conversation(channel event.Channel, account string, raw json.RawMessage) {
	var m messaging
	if json.Unmarshal(raw, &m) != nil {
		r.Malformed++
		return
	}
	if !m.written() {
		r.Ignored++ // an echo, or that something has been delivered or read
		return
	}
	if m.At.IsZero() || !isAccount(string(m.Sender.ID)) || string(m.Sender.ID) == account {
		r.Malformed++
		return
	}
	u := Update{Channel: channel, Account: account, At: m.At.Time}
	u.Person.addUser(string(m.Sender.ID))
	r.add(u)
}

// instagram reads the other of the two forms that Instagram's webhooks have: as
// changes of fields.
func (r *Reduced) instagram(account string, c *change) {
	switch c.Field {
	case "messages", "messaging_postbacks", "messaging_referral":
		r.conversation(event.Instagram, account, c.Value)
	default:
		r.Ignored++
	}
}
