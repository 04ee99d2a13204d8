package event

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/redact"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/scalar"
)

// ErrMalformed says that a message is not JSON as RFC 8259 and RFC 7493 have
// it: broken syntax, invalid UTF-8, lone surrogates, a member named twice, or
// nesting beyond reason. Sent on raw, any of these would sink its whole batch.
var ErrMalformed = errors.New("malformed JSON")

// FaultError says that a message as a whole cannot be read as events.
type FaultError struct{ Faults []Fault }

func (e *FaultError) Error() string {
	return "unusable message: " + e.Faults[0].Pointer + ": " + e.Faults[0].Message
}

// Decoder reads messages and checks their events. It keeps its buffers from one
// call to the next and must not be used from two goroutines at once.
type Decoder struct {
	terms

	schema  schema
	seconds scalar.Kind // event_time
	repairs []string
	reader  bytes.Buffer
	json    jsontext.Decoder
	parser  parser

	secrets redact.Secrets // to be taken out, beside what looks like a token; may be nil
	body    []byte
	names   map[string]bool // that Meta documents, once they are asked for
	members []member        // top-level members of the message being read
	events  []Event         // of the request body being read
}

// terms are what an event as a whole is held against.
type terms struct {
	rules    Rules
	accounts Assets      // to be filled in, see [Decoder.Fill]
	person   string      // likewise, see [Decoder.Complete]
	leaves   bool        // the chat, see [Decoder.LeaveChat]
	channel  scalar.Kind // messaging_channel, on messaging events
	// Sentences that would be put together anew for each event.
	needsSource, needsChannel string
}

// member is one member of the outermost object: its raw name and raw value.
type member struct{ name, value []byte }

// NewDecoder returns a decoder that checks events by these rules.
func NewDecoder(rules Rules) *Decoder {
	return &Decoder{
		schema: eventSchema(), seconds: scalar.EventSeconds(), repairs: Repairs(),
		terms: terms{
			rules: rules, channel: scalar.OneOf(Channels()...),
			needsSource:  "every event has an action_source: " + scalar.JoinQuoted(ActionSources()),
			needsChannel: "a business_messaging event has a messaging_channel: " + scalar.JoinQuoted(Channels()),
		},
	}
}

// Withhold has the decoder take these secrets out of messages, beside what looks
// like an access token. It returns the decoder.
func (d *Decoder) Withhold(secrets redact.Secrets) *Decoder {
	d.secrets = secrets
	return d
}

// Decode reads a message: a request body if its object has a "data" array,
// else one event. Secrets are taken out first (see docs/events.md). What it
// returns aliases body, which is left as it is.
//
// The error wraps [ErrMalformed], or is a [*FaultError] when the JSON is sound
// but holds no events that could be told apart. Faults of a single event are
// no error; they are in [Event.Faults].
func (d *Decoder) Decode(body []byte) (Request, error) {
	clean, secrets, err := redact.Message(body, d.secrets)
	if err != nil {
		return Request{}, d.malformed(err)
	}
	request, err := d.decode(clean)
	request.Secrets = secrets
	return request, err
}

func (d *Decoder) decode(body []byte) (Request, error) {
	d.reset(body)
	if kind := d.json.PeekKind(); kind != '{' {
		if kind == 0 {
			_, err := d.json.ReadToken()
			return Request{}, d.malformed(err)
		}
		return Request{}, oneFault("", WrongType, "an event, or a request body, is a JSON object")
	}
	single := make([]Event, 1)
	isBody, err := d.message(&single[0])
	if err != nil {
		return Request{}, err
	}
	if err := d.expectEnd(); err != nil {
		return Request{}, err
	}
	if !isBody {
		return Request{Events: single}, nil
	}
	return d.requestBody()
}

func (d *Decoder) reset(body []byte) {
	d.reader = *bytes.NewBuffer(body)
	d.json.Reset(&d.reader)
	d.body, d.members, d.events = body, d.members[:0], nil
}

// message reads the outermost object, both ways at once, because only a
// "data" array tells a request body from an event, and it may come last.
func (d *Decoder) message(single *Event) (isBody bool, err error) {
	p := &d.parser
	p.begin(d, single)
	start := d.nextValue()
	err = d.object(func(name []byte, at int64) error {
		from := d.nextValue()
		if string(name) == "data" && d.json.PeekKind() == '[' {
			isBody = true
			return d.dataArray()
		}
		if !isBody {
			if err := p.eventMember(name, at); err != nil {
				return err
			}
		} else if err := d.skip(); err != nil {
			return err
		}
		d.members = append(d.members, member{name: name, value: d.body[from:d.json.InputOffset()]})
		return nil
	})
	if err == nil && !isBody {
		p.review().finish(start, d.json.InputOffset())
	}
	return isBody, err
}

// dataArray reads the events of a request body.
func (d *Decoder) dataArray() error {
	if _, err := d.json.ReadToken(); err != nil {
		return d.malformed(err)
	}
	for d.json.PeekKind() != ']' {
		if len(d.events) == MaxEvents {
			return oneFault("/data", TooManyEvents, fmt.Sprintf("a request body holds at most %d events", MaxEvents))
		}
		d.makeRoom()
		d.events = append(d.events, Event{})
		if err := d.element(&d.events[len(d.events)-1]); err != nil {
			return err
		}
	}
	_, err := d.json.ReadToken()
	return d.malformed(err)
}

// makeRoom makes room for the rest of a list once its first event has been read:
// the others will be about as long.
func (d *Decoder) makeRoom() {
	if len(d.events) != 1 {
		return
	}
	rest := len(d.body) - int(d.json.InputOffset())
	d.events = slices.Grow(d.events, min(MaxEvents-1, 1+rest/len(d.events[0].Raw)))
}

// element reads one event of a request body.
func (d *Decoder) element(event *Event) error {
	p := &d.parser
	p.begin(d, event)
	start := d.nextValue()
	if d.json.PeekKind() != '{' {
		if err := d.skip(); err != nil {
			return err
		}
		p.review().refuse(start, d.json.InputOffset())
		return nil
	}
	if err := d.object(p.eventMember); err != nil {
		return err
	}
	p.review().finish(start, d.json.InputOffset())
	return nil
}

// object reads the object that comes next. visit gets each member's name,
// unquoted, and where it begins, quotes and all; it must read the member's
// value.
func (d *Decoder) object(visit func(name []byte, at int64) error) error {
	if _, err := d.json.ReadToken(); err != nil {
		return d.malformed(err)
	}
	for d.json.PeekKind() != '}' {
		quoted, err := d.json.ReadValue()
		if err != nil {
			return d.malformed(err)
		}
		if err := visit(rawjson.Unquote(quoted), d.json.InputOffset()-int64(len(quoted))); err != nil {
			return err
		}
	}
	_, err := d.json.ReadToken()
	return d.malformed(err)
}

func (d *Decoder) skip() error { return d.malformed(d.json.SkipValue()) }

// nextValue returns where in the body the next value begins.
func (d *Decoder) nextValue() int64 {
	at := d.json.InputOffset()
	for at < int64(len(d.body)) && isBetweenValues(d.body[at]) {
		at++
	}
	return at
}

// isBetweenValues is asked of so many bytes that it looks at each by itself.
func isBetweenValues(c byte) bool {
	return c == ',' || c == ':' || c == ' ' || c == '\n' || c == '\t' || c == '\r'
}

// expectEnd refuses whatever follows the outermost value.
func (d *Decoder) expectEnd() error {
	at := d.json.InputOffset()
	if rest := bytes.TrimLeft(d.body[at:], " \t\r\n"); len(rest) > 0 {
		return fmt.Errorf("%w: something follows the JSON value, at offset %d", ErrMalformed, len(d.body)-len(rest))
	}
	return nil
}

// malformed turns the JSON library's error into ours. It has the place, and
// neither the text there nor names of the producer's: they may be personal data.
func (d *Decoder) malformed(err error) error {
	if err == nil {
		return nil
	}
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Errorf("%w: at offset %d, in %q: %w",
			ErrMalformed, syntax.ByteOffset, d.placeOf(syntax.JSONPointer), syntax.Err)
	}
	return fmt.Errorf("%w: cut off: %w", ErrMalformed, err)
}

func oneFault(pointer string, code Code, message string) error {
	return &FaultError{Faults: []Fault{{Pointer: pointer, Code: code, Message: message}}}
}
