package webhook

import (
	"slices"
	"strings"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// Update is what one update of a webhook says of a person.
type Update struct {
	Channel event.Channel
	Account string // WhatsApp Business Account, page or Instagram account
	Person  Person
	Click   string    // ctwa_clid of the ad that has brought the person; mostly ""
	At      time.Time // when it happened
	// Detected is a conversion that Meta has found in the conversation by itself;
	// mostly nil. Such an update tells nothing of the person.
	Detected *Detected
}

// Person is all that an update calls a person by.
type Person struct {
	Phones       []string // as digits
	Users        []string // the ids that Meta has for the person on this account
	Conversation string   // a partner's own id; Meta's webhooks have none
}

// Detected is a conversion that Meta has found in a conversation.
type Detected struct {
	ID       string // of the message
	Name     string
	Currency string
	Value    string // a number, as it was spelled
}

// names returns how many names the person has.
func (p *Person) names() int {
	n := len(p.Phones) + len(p.Users)
	if p.Conversation != "" {
		n++
	}
	return n
}

// tells reports whether the update tells anything that an event could not say by
// itself. On WhatsApp that is a click, or that two names are one person's. Elsewhere
// it is on which account the person is known.
func (u *Update) tells() bool {
	switch {
	case u.Detected != nil:
		return true
	case u.Channel == event.WhatsApp:
		return u.Click != "" && u.Person.names() > 0 || u.Person.names() > 1
	default:
		return len(u.Person.Users) > 0
	}
}

// addPhone adds a phone number, of which the digits count.
func (p *Person) addPhone(text string) { p.Phones = appendNew(p.Phones, Digits(text)) }

func (p *Person) addUser(id string) { p.Users = appendNew(p.Users, strings.TrimSpace(id)) }

// mostNames is more than a person has: each name is stored beside each other.
const mostNames = 8

func appendNew(list []string, text string) []string {
	if text == "" || len(list) == mostNames {
		return list
	}
	if slices.Contains(list, text) {
		return list
	}
	return append(list, text)
}

// Digits returns the digits of a phone number: what Meta hashes, and what is a
// WhatsApp id.
func Digits(phone string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, phone)
}
