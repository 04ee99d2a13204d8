// Package reference reads what an event says of whose conversion it is, for the
// dispatcher and not for Meta: the member _capi.
package reference

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
)

// Member is the member of an event that holds a reference. It is always taken out.
const Member = "_capi"

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

// Word is a text of a reference, which may have been written as a number.
type Word string

// UnmarshalJSON reads a string or a number; null is "".
func (w *Word) UnmarshalJSON(value []byte) error {
	switch jsontext.Value(value).Kind() {
	case '"', '0':
		*w = Word(strings.TrimSpace(string(rawjson.Inner(value))))
		return nil
	case 'n':
		return nil
	default:
		return errNoWord
	}
}

// Parse reads what stands in _capi, and returns nil if that is of no use.
func Parse(value []byte) *Reference {
	var told struct {
		Conversation Word     `json:"conversation_id"`
		WhatsApp     Word     `json:"wa_id"`
		Phone        Word     `json:"phone"`
		User         Word     `json:"user_id"`
		Account      Word     `json:"account"`
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
	member := `"` + Member + `":` + string(list)
	rest := raw[1:] // behind the brace: an event is an object
	if !bytes.HasPrefix(bytes.TrimLeft(rest, rawjson.Space), []byte("}")) {
		member += ","
	}
	return slices.Concat([]byte("{"), []byte(member), rest)
}
