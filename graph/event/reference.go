package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
)

// referenceName is the member of an event that is for the dispatcher and not for
// Meta: it is always taken out.
const referenceName = "_capi"

// Reference says whose conversion an event is, by what its producer knows of the
// person. Any of it may be empty.
type Reference struct {
	Conversation string // the producer's own id of the conversation
	Phone        string // as it came
	User         string // the id that Meta's webhooks have for the person
	Account      string // the WhatsApp Business Account, page or Instagram account
	// Aliases stand for the person in events that the dispatcher has stored, in
	// place of all the others. From others they mean nothing.
	Aliases []string
}

// named reports whether the reference leads to anybody.
func (r *Reference) named() bool {
	return r.Conversation != "" || r.Phone != "" || r.User != "" || len(r.Aliases) > 0
}

// errNoWord says that a member of a reference is no text. Nobody sees it.
var errNoWord = errors.New("neither a string nor a number")

// word is a text of a reference, which may have been written as a number.
type word string

// UnmarshalJSON reads a string or a number; null is "".
func (w *word) UnmarshalJSON(value []byte) error {
	switch jsontext.Value(value).Kind() {
	case '"', '0':
		*w = word(strings.TrimSpace(string(rawjson.Inner(value))))
		return nil
	case 'n':
		return nil
	default:
		return errNoWord
	}
}

// ParseReference reads what stands in _capi, and returns nil if that is of no use.
func ParseReference(value []byte) *Reference {
	var told struct {
		Conversation word     `json:"conversation_id"`
		WhatsApp     word     `json:"wa_id"`
		Phone        word     `json:"phone"`
		User         word     `json:"user_id"`
		Account      word     `json:"account"`
		Aliases      []string `json:"aliases"`
	}
	if json.Unmarshal(value, &told) != nil {
		return nil
	}
	r := &Reference{
		Conversation: string(told.Conversation), Phone: string(told.WhatsApp),
		User: string(told.User), Account: string(told.Account), Aliases: told.Aliases,
	}
	if r.Phone == "" {
		r.Phone = string(told.Phone)
	}
	if !r.named() && r.Account == "" {
		return nil
	}
	return r
}

// liftReference takes _capi out of the event: it is not for Meta, and may hold a
// phone number in the clear.
func (r review) liftReference() {
	at := r.kept[slotReference]
	if !at.there && !at.null {
		return
	}
	r.remove(slotReference)
	r.event.Reference = ParseReference(r.body[at.value:at.end])
	if at.there && r.event.Reference == nil {
		r.warnAt("/"+referenceName, BadReference, "_capi says nothing that a person could be found by; "+
			"write conversation_id, wa_id, phone or user_id, as a text")
	}
}

// WithAliases returns an event as it is stored, with aliases in place of what its
// producer has said of the person. Without any, it is the event itself.
func WithAliases(raw []byte, aliases []string) []byte {
	if len(aliases) == 0 {
		return raw
	}
	list, err := json.Marshal(map[string][]string{"aliases": aliases})
	if err != nil { // unreachable: these are texts
		return raw
	}
	member := `"` + referenceName + `":` + string(list)
	rest := raw[1:] // behind the brace: an event is an object
	if !bytes.HasPrefix(bytes.TrimLeft(rest, rawjson.Space), []byte("}")) {
		member += ","
	}
	return slices.Concat([]byte("{"), []byte(member), rest)
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
	var several []word
	if json.Unmarshal(told.User.Phone, &several) == nil {
		phones := make([]string, 0, len(several))
		for _, one := range several {
			phones = append(phones, string(one))
		}
		return phones
	}
	var one word
	if json.Unmarshal(told.User.Phone, &one) != nil || one == "" {
		return nil
	}
	return []string{string(one)}
}
