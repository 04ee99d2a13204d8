package webhook

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// ErrUnreadable says that a body is no webhook of Meta's, and no record.
var ErrUnreadable = errors.New("neither a webhook of Meta's nor a record")

// Reduced is what a body comes to.
type Reduced struct {
	Updates []Update
	// Ignored is how many updates say nothing that is needed: statuses, echoes,
	// fields that are not known.
	Ignored int
	// Malformed is how many could not be read.
	Malformed int
}

// envelope is the body of a webhook. Each part is read by itself, so that one that
// is not what it should be costs the others nothing.
type envelope struct {
	Object  string            `json:"object"`
	Entries []json.RawMessage `json:"entry"`
}

type entry struct {
	ID        id                `json:"id"`
	Changes   []json.RawMessage `json:"changes"`
	Messaging []json.RawMessage `json:"messaging"`
}

type change struct {
	Field string          `json:"field"`
	Value json.RawMessage `json:"value"`
}

// Reduce reads a body: a webhook of Meta's, or a record of a partner's.
func Reduce(body []byte) (Reduced, error) {
	var whole envelope
	if err := json.Unmarshal(body, &whole); err != nil || whole.Object == "" {
		return readRecords(body)
	}
	var r Reduced
	for _, raw := range whole.Entries {
		var e entry
		if json.Unmarshal(raw, &e) != nil || !isAccount(string(e.ID)) {
			r.Malformed++
			continue
		}
		r.entry(whole.Object, &e)
	}
	return r, nil
}

func (r *Reduced) entry(object string, e *entry) {
	account := string(e.ID)
	switch object {
	case "whatsapp_business_account":
		r.changes(e, func(c *change) { r.whatsApp(account, c) })
	case "page":
		r.messaging(event.Messenger, account, e.Messaging)
		r.Ignored += len(e.Changes)
	case "instagram":
		r.messaging(event.Instagram, account, e.Messaging)
		r.changes(e, func(c *change) { r.instagram(account, c) })
	default:
		r.Ignored += len(e.Changes) + len(e.Messaging)
	}
}

func (r *Reduced) changes(e *entry, read func(*change)) {
	for _, raw := range e.Changes {
		var c change
		if json.Unmarshal(raw, &c) != nil {
			r.Malformed++
			continue
		}
		read(&c)
	}
}

// add takes an update in, if it tells anything.
func (r *Reduced) add(u Update) {
	if !u.tells() {
		r.Ignored++
		return
	}
	r.Updates = append(r.Updates, u)
}

// record is what a partner may publish instead of a webhook.
type record struct {
	Channel      event.Channel `json:"channel"`
	Account      id            `json:"account"`
	Phone        id            `json:"phone"`
	WhatsApp     id            `json:"wa_id"`
	User         id            `json:"user_id"`
	Conversation id            `json:"conversation_id"`
	Click        string        `json:"ctwa_clid"`
	At           moment        `json:"at"`
}

// readRecords reads one record, or a list of them.
func readRecords(body []byte) (r Reduced, err error) {
	list := []json.RawMessage{body}
	if json.Unmarshal(body, &list) != nil {
		list = []json.RawMessage{body}
	}
	for _, raw := range list {
		var told record
		if json.Unmarshal(raw, &told) != nil || told.Channel.PersonMember() == "" || !isAccount(string(told.Account)) ||
			told.At.IsZero() {
			r.Malformed++
			continue
		}
		u := Update{Channel: told.Channel, Account: string(told.Account), Click: told.Click, At: told.At.Time}
		u.Person.addPhone(string(told.WhatsApp))
		u.Person.addPhone(string(told.Phone))
		u.Person.addUser(string(told.User))
		u.Person.Conversation = string(told.Conversation)
		r.add(u)
	}
	if len(r.Updates) == 0 && r.Ignored == 0 {
		return Reduced{}, fmt.Errorf(`%w: expected "object" and "entry", or "channel", "account" and "at"`, ErrUnreadable)
	}
	return r, nil
}
