package event

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/redact"
)

// requestBody assembles what the reading of a request body has found.
func (d *Decoder) requestBody() (Request, error) {
	if len(d.events) == 0 {
		return Request{}, oneFault("/data", Empty, "a request body holds at least one event")
	}
	envelope, dropped, err := readEnvelope(d.members)
	if err != nil {
		return Request{}, err
	}
	return Request{Envelope: envelope, Events: d.events, Dropped: dropped}, nil
}

// readEnvelope sorts the members beside "data". Only those that Meta documents
// for the request are passed on: others, such as method, batch or callback, are
// Graph's to interpret, and would change what the request is. Sources: Meta's
// business SDKs, event requests and the events edge of a dataset (2026).
func readEnvelope(members []member) (envelope Envelope, dropped int, err error) {
	var extra []byte
	for _, m := range members {
		switch string(m.name) {
		case "test_event_code":
			envelope.TestEventCode, err = envelopeText(m)
		case "partner_agent":
			envelope.PartnerAgent, err = envelopeText(m)
		case "namespace_id", "upload_id", "upload_tag", "upload_source", "platforms", "progress", "trace":
			extra = appendMember(extra, m)
		default:
			dropped++
		}
		if err != nil {
			return Envelope{}, 0, err
		}
	}
	if len(extra) > 0 {
		envelope.Extra = string(append(extra, '}'))
	}
	return envelope, dropped, nil
}

func envelopeText(m member) (string, error) {
	switch jsontext.Value(m.value).Kind() {
	case '"':
		return string(rawjson.Unquote(m.value)), nil
	case 'n':
		return "", nil
	default:
		return "", oneFault("/"+string(m.name), WrongType, string(m.name)+" is a string")
	}
}

func appendMember(object []byte, m member) []byte {
	if len(object) == 0 {
		object = append(object, '{')
	} else {
		object = append(object, ',')
	}
	// Names come out of valid JSON, so they can be quoted again, and values
	// can be compacted.
	object, _ = jsontext.AppendQuote(object, m.name)
	object = append(object, ':')
	value := jsontext.Value(bytes.Clone(m.value))
	_ = value.Compact(jsontext.PreserveRawStrings(true))
	return append(object, value...)
}

// Marshal renders the envelope as one line of JSON, the way a request body
// carries it, or "" when it says nothing. [ParseEnvelope] reads it back.
func (e Envelope) Marshal() string {
	if e == (Envelope{}) {
		return ""
	}
	return "{" + string(e.AppendMembers(nil)) + "}"
}

// AppendMembers appends the envelope's members to a JSON object under
// construction, separated by commas, without braces and without a leading
// comma.
func (e Envelope) AppendMembers(dst []byte) []byte {
	start := len(dst)
	if e.Extra != "" {
		dst = append(dst, e.Extra[1:len(e.Extra)-1]...)
	}
	for _, m := range [...]struct{ name, value string }{
		{"partner_agent", e.PartnerAgent},
		{"test_event_code", e.TestEventCode},
	} {
		if m.value == "" {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, m.name...)
		dst = append(dst, `":`...)
		dst, _ = jsontext.AppendQuote(dst, m.value)
	}
	return dst
}

// ParseEnvelope reads what [Envelope.Marshal] wrote.
func ParseEnvelope(line string) (Envelope, error) {
	if line == "" {
		return Envelope{}, nil
	}
	var d Decoder
	clean, _, err := redact.Message([]byte(line), nil)
	if err != nil {
		return Envelope{}, d.malformed(err)
	}
	d.reset(clean)
	if d.json.PeekKind() != '{' {
		return Envelope{}, oneFault("", WrongType, "an envelope is a JSON object")
	}
	err = d.object(func(name []byte, _ int64) error {
		from := d.nextValue()
		if err := d.skip(); err != nil {
			return err
		}
		d.members = append(d.members, member{name: name, value: d.body[from:d.json.InputOffset()]})
		return nil
	})
	if err != nil {
		return Envelope{}, err
	}
	envelope, _, err := readEnvelope(d.members)
	return envelope, err
}

// Pieces lists the pieces of a request body, to be written one after the other:
// events, which are not copied, and beside them members, with commas between
// them and without braces.
func Pieces(members []byte, events ...[]byte) [][]byte {
	comma := []byte(",")
	pieces := append(make([][]byte, 0, 2*len(events)+4), []byte(`{"data":[`))
	for i, e := range events {
		if i > 0 {
			pieces = append(pieces, comma)
		}
		pieces = append(pieces, e)
	}
	pieces = append(pieces, []byte("]"))
	if len(members) > 0 {
		pieces = append(pieces, comma, members)
	}
	return append(pieces, []byte("}"))
}

// Body renders a request body of events, with the members of an envelope, as
// [Envelope.Marshal] writes it, beside them.
func Body(envelope string, events ...[]byte) []byte {
	members := []byte(envelope)
	if envelope != "" {
		members = members[1 : len(members)-1]
	}
	return bytes.Join(Pieces(members, events...), nil)
}
