// Package clicks is the stream of what webhooks have said of people: the only place
// where it is kept for long, and from which the index in Redis can be made anew.
//
// A [Record] names people by aliases and holds what has to be read again sealed (see
// package keyring). Its subject says on which account, of whom and of what it is,
// and holds one message: so whatever is published again is stored once, and a
// person's records can be deleted by their subject.
package clicks

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/keyring"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/webhook"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// ErrNoRecord says that a message of the stream is none of ours.
var ErrNoRecord = errors.New("not a record of a click or a person")

// Record is one message of the stream.
type Record struct {
	Channel string   `json:"channel"`
	Account string   `json:"account"`
	Aliases []string `json:"aliases"` // of one person
	Click   string   `json:"click,omitempty"`
	Person  string   `json:"person,omitempty"` // the id that the channel has for the person
	At      int64    `json:"at"`               // in Unix seconds
}

// New makes a record of an update, which is no conversion that Meta has detected.
func New(ring *keyring.Ring, u *webhook.Update) Record {
	scope := keyring.Scope{Channel: string(u.Channel), Account: u.Account}
	r := Record{Channel: scope.Channel, Account: scope.Account, At: u.At.Unix()}
	for _, user := range u.Person.Users {
		r.Aliases = append(r.Aliases, ring.Alias(scope, keyring.User, user))
	}
	for _, phone := range u.Person.Phones {
		r.Aliases = append(r.Aliases, ring.Alias(scope, keyring.Phone, HashPhone(phone)))
	}
	if u.Person.Conversation != "" {
		r.Aliases = append(r.Aliases, ring.Alias(scope, keyring.Conversation, u.Person.Conversation))
	}
	if u.Click != "" {
		r.Click = ring.Seal(scope, u.Click)
	}
	if u.Channel != event.WhatsApp && len(u.Person.Users) > 0 {
		r.Person = ring.Seal(scope, u.Person.Users[0])
	}
	return r
}

// HashPhone returns the name by which a phone number has its alias: the SHA-256 of its
// digits, as it is in ph, or the text itself if it is such a hash already.
func HashPhone(phone string) string {
	if lower := strings.ToLower(phone); len(lower) == hex.EncodedLen(sha256.Size) {
		if _, err := hex.DecodeString(lower); err == nil {
			return lower
		}
	}
	sum := sha256.Sum256([]byte(webhook.Digits(phone)))
	return hex.EncodeToString(sum[:])
}

// Scope is where the person's names are known.
func (r *Record) Scope() keyring.Scope { return keyring.Scope{Channel: r.Channel, Account: r.Account} }

// Time is when it happened.
func (r *Record) Time() time.Time { return time.Unix(r.At, 0) }

// Concerns reports whether the record is of a person with one of these aliases.
func (r *Record) Concerns(aliases map[string]bool) bool {
	return slices.ContainsFunc(r.Aliases, func(alias string) bool { return aliases[alias] })
}

// mark tells the records of a person apart by what they say, but not by when: what is
// said again replaces what was said.
func (r *Record) mark() string {
	sum := sha256.Sum256([]byte(strings.Join(r.Aliases, " ") + "\n" + r.Click + "\n" + r.Person))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// Message renders the record for the stream.
func (r *Record) Message(root string) (*nats.Msg, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	msg := nats.NewMsg(strings.Join([]string{root, r.Channel, r.Account, r.Aliases[0], r.mark()}, "."))
	msg.Data = data
	// What comes again at once is not even stored.
	msg.Header.Set(nats.MsgIdHdr, msg.Subject)
	return msg, nil
}

// Parse reads a message of the stream.
func Parse(data []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return Record{}, ErrNoRecord // the library's error may quote the text
	}
	scoped := event.Channel(r.Channel).PersonMember() != "" && r.Account != "" && webhook.Digits(r.Account) == r.Account
	if !scoped || len(r.Aliases) == 0 || r.At <= 0 || slices.ContainsFunc(r.Aliases, isNone) {
		return Record{}, fmt.Errorf("%w: a part of it is missing", ErrNoRecord)
	}
	return r, nil
}

func isNone(alias string) bool { return !keyring.IsAlias(alias) }
