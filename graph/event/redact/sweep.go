package redact

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
)

// Message returns a message with the secrets taken out, and how many
// there were. Mostly there are none, and it is the message itself. The error is
// the JSON library's.
func Message(body []byte, secrets Secrets) (clean []byte, found int, err error) {
	if !mayHoldSecrets(body, secrets) {
		return body, 0, nil
	}
	s := sweep{json: jsontext.NewDecoder(bytes.NewBuffer(body)), secrets: secrets}
	for err == nil {
		err = s.next()
	}
	if !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	return rawjson.Edited(body, 0, int64(len(body)), s.edits), len(s.edits), nil
}

// sweep goes through a message from end to end and notes what has to go.
type sweep struct {
	json    *jsontext.Decoder
	secrets Secrets
	edits   []rawjson.Edit
}

// next looks at the next name, string, or other token.
func (s *sweep) next() error {
	if s.json.PeekKind() != '"' {
		_, err := s.json.ReadToken()
		return err
	}
	within, index := s.json.StackIndex(s.json.StackDepth())
	quoted, err := s.json.ReadValue()
	if err != nil {
		return err
	}
	to := s.json.InputOffset()
	from := to - int64(len(quoted))
	if isName := within == '{' && index%2 == 0; isName {
		return s.name(rawjson.Unquote(quoted), from)
	}
	s.text(rawjson.Unquote(quoted), from, to)
	return nil
}

// name takes the whole member out whose name is that of a credential, or holds
// one.
func (s *sweep) name(name []byte, from int64) error {
	_, found := Text(name, s.secrets)
	if found == 0 && string(name) != accessToken && string(name) != secretProof {
		return nil
	}
	err := s.json.SkipValue()
	s.edits = append(s.edits, rawjson.Edit{From: from, To: s.json.InputOffset(), Remove: true})
	return err
}

// text takes secrets out of a string.
func (s *sweep) text(text []byte, from, to int64) {
	clean, found := Text(text, s.secrets)
	if found == 0 || isOpaque(s.place()) {
		return
	}
	quoted, _ := jsontext.AppendQuote(nil, clean)
	s.edits = append(s.edits, rawjson.Edit{From: from, To: to, Instead: string(quoted)})
}

// place is a JSON pointer, from the event, to what has been read last.
func (s *sweep) place() string {
	const dataArray = 2 // in the request body, which is 1
	pointer := string(s.json.StackPointer())
	if s.json.StackDepth() > dataArray {
		if kind, _ := s.json.StackIndex(dataArray); kind == '[' && strings.HasPrefix(pointer, "/data/") {
			return "/" + strings.SplitN(pointer, "/", 4)[3]
		}
	}
	return pointer
}

// isOpaque reports whether a place in an event is for identifiers that may look
// like anything. They tell events, people and clicks apart, so nothing is ever
// changed in them.
func isOpaque(pointer string) bool {
	switch pointer {
	case "/event_id", "/original_event_data/event_id",
		"/user_data/ctwa_clid", "/user_data/fbc", "/user_data/fbp", "/user_data/external_id":
		return true
	default:
		return strings.HasPrefix(pointer, "/user_data/external_id/")
	}
}
