package webhook

import (
	"encoding/json"
	"strings"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// whatsAppValue is the value of a change. Source: Meta, WhatsApp webhook reference
// (messages, system messages, automatic events; 2026).
type whatsAppValue struct {
	Contacts []json.RawMessage `json:"contacts"`
	Messages []json.RawMessage `json:"messages"`
	Detected []json.RawMessage `json:"automatic_events"`
}

type contact struct {
	WhatsApp id `json:"wa_id"`
	User     id `json:"user_id"`
	Parent   id `json:"parent_user_id"`
}

type message struct {
	From     id     `json:"from"`
	User     id     `json:"from_user_id"`
	Parent   id     `json:"from_parent_user_id"`
	ID       id     `json:"id"`
	At       moment `json:"timestamp"`
	Type     string `json:"type"`
	Referral *struct {
		// Left out where the ad is in WhatsApp Status. source_id is an ad, never a
		// click, so it is not read at all.
		Click string `json:"ctwa_clid"`
	} `json:"referral"`
	System *renaming `json:"system"`
}

// renaming is the change of a number, or of the id that stands for a person.
type renaming struct {
	WhatsApp       id `json:"wa_id"`
	NewWhatsApp    id `json:"new_wa_id"` // of older versions
	User           id `json:"user_id"`
	Parent         id `json:"parent_user_id"`
	PreviousUser   id `json:"previous_user_id"`
	PreviousParent id `json:"previous_parent_user_id"`
}

type detected struct {
	ID     id     `json:"id"`
	Name   string `json:"event_name"`
	At     moment `json:"timestamp"`
	Click  string `json:"ctwa_clid"`
	Custom struct {
		Currency string      `json:"currency"`
		Value    json.Number `json:"value"`
	} `json:"custom_data"`
}

func (r *Reduced) whatsApp(account string, c *change) {
	if c.Field != "messages" && c.Field != "automatic_events" {
		r.Ignored++
		return
	}
	var v whatsAppValue
	if json.Unmarshal(c.Value, &v) != nil {
		r.Malformed++
		return
	}
	if len(v.Messages)+len(v.Detected) == 0 {
		r.Ignored++ // statuses of what the business has sent
		return
	}
	contacts := readContacts(v.Contacts)
	for _, raw := range v.Messages {
		r.message(account, raw, contacts, len(v.Messages))
	}
	for _, raw := range v.Detected {
		r.detected(account, raw)
	}
}

func readContacts(list []json.RawMessage) (contacts []contact) {
	for _, raw := range list {
		var c contact
		if json.Unmarshal(raw, &c) == nil {
			contacts = append(contacts, c)
		}
	}
	return contacts
}

func (r *Reduced) message(account string, raw json.RawMessage, contacts []contact, messages int) {
	var m message
	if json.Unmarshal(raw, &m) != nil || m.At.IsZero() {
		r.Malformed++
		return
	}
	u := Update{Channel: event.WhatsApp, Account: account, At: m.At.Time}
	u.Person.addPhone(string(m.From))
	u.Person.addUser(string(m.User))
	u.Person.addUser(string(m.Parent))
	for i := range contacts {
		if c := &contacts[i]; c.is(&m) || len(contacts) == 1 && messages == 1 {
			u.Person.addPhone(string(c.WhatsApp))
			u.Person.addUser(string(c.User))
			u.Person.addUser(string(c.Parent))
		}
	}
	if m.Type == "system" && m.System != nil {
		m.System.addTo(&u.Person)
	}
	if m.Referral != nil {
		u.Click = strings.TrimSpace(m.Referral.Click)
	}
	r.add(u)
}

// is reports whether a contact is the one who has written a message. The id and the
// number of a person need not be the same digits; so a contact that comes alone with
// a message is its writer, too.
func (c *contact) is(m *message) bool {
	return c.WhatsApp != "" && c.WhatsApp == m.From || c.User != "" && c.User == m.User
}

// addTo adds what a person is called from now on, and was before.
func (c *renaming) addTo(p *Person) {
	p.addPhone(string(c.WhatsApp))
	p.addPhone(string(c.NewWhatsApp))
	for _, user := range []id{c.User, c.Parent, c.PreviousUser, c.PreviousParent} {
		p.addUser(string(user))
	}
}

func (r *Reduced) detected(account string, raw json.RawMessage) {
	var d detected
	if json.Unmarshal(raw, &d) != nil || d.At.IsZero() || d.ID == "" || d.Name == "" {
		r.Malformed++
		return
	}
	r.add(Update{
		Channel: event.WhatsApp, Account: account, At: d.At.Time, Click: d.Click,
		Detected: &Detected{ID: string(d.ID), Name: d.Name, Currency: d.Custom.Currency, Value: string(d.Custom.Value)},
	})
}
