package deadletter

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// Reason says why an event is a dead letter. The same words are used in
// subjects, headers and metrics.
type Reason string

// The reasons.
const (
	Malformed Reason = "malformed"  // no JSON
	Invalid   Reason = "invalid"    // Meta would refuse it; see the faults
	NoDataset Reason = "no_dataset" // its dataset is not known
	TooLarge  Reason = "too_large"  // does not fit a request
	Expired   Reason = "expired"    // older than Meta accepts
	Refused   Reason = "refused"    // Meta has refused it, alone
	// Meta takes no messaging events from where the page or Instagram account
	// is registered.
	RestrictedRegion Reason = "restricted_region"
	Unlinked         Reason = "unlinked"        // its account was not linked to the dataset, or not found, for too long
	UnknownOutcome   Reason = "unknown_outcome" // it may have been accepted, and is not sent again
	Unattributed     Reason = "unattributed"    // no webhook has told of its person
)

// Reasons lists every reason.
func Reasons() []Reason {
	return []Reason{
		Malformed, Invalid, NoDataset, TooLarge, Expired, Refused, RestrictedRegion, Unlinked, UnknownOutcome, Unattributed,
	}
}

// NoDatasetWord stands in a subject for a dataset that is not known.
const NoDatasetWord = "unknown"

// Letter is a dead letter.
type Letter struct {
	// Sequence is its number in the dead-letter stream; 0 before that.
	Sequence uint64 `json:"sequence,omitempty"`
	// Event is what was published: one event, or several of one message as a
	// request body, or all of a message that could not be read.
	Event []byte `json:"-"`
	// CutOff is how many bytes Event had, where it did not fit; else 0.
	CutOff int `json:"cut_off,omitempty"`
	// Places are where the events of a letter that holds several stood in the
	// message that was published, from 0 on; nil for one event.
	Places []int `json:"places,omitempty"`

	Dataset string        `json:"dataset,omitempty"`
	Reason  Reason        `json:"reason"`
	Faults  []event.Fault `json:"faults,omitempty"`
	Graph   *GraphError   `json:"graph,omitempty"`
	// Envelope is what the event's request body said beside it.
	Envelope string `json:"envelope,omitempty"`
	// DedupeID stands in for a missing event_id; of several events, together
	// with the place of each.
	DedupeID string `json:"dedupe_id,omitempty"`
	// ContentIDs identify, each, one of several events by its content as it was
	// published, where that is not what the letter holds; "" is none. There are
	// no more than [MostContentIDs].
	ContentIDs []string `json:"content_ids,omitempty"`
	// Attempts is how many requests to Meta the event was in; MaybeSent, how
	// many of them have an unknown outcome.
	Attempts       int       `json:"attempts"`
	MaybeSent      int       `json:"maybe_sent,omitempty"`
	FirstSeen      time.Time `json:"first_seen"`
	DeadLetteredAt time.Time `json:"dead_lettered_at"`
	// Claim is what an event that may have been sent has kept in Redis, so
	// that no copy is sent either; 0 is none. Replaying passes it on.
	Claim          int64       `json:"claim,omitempty"`
	OriginSubject  string      `json:"origin_subject"`
	OriginSequence uint64      `json:"origin_sequence"`
	Trace          nats.Header `json:"trace,omitempty"`
}

// MarshalJSON writes the event as the JSON it is, or as a text where it is
// none.
func (l Letter) MarshalJSON() ([]byte, error) {
	type fields Letter // without this method
	shown := any(json.RawMessage(l.Event))
	if !json.Valid(l.Event) {
		shown = string(l.Event)
	}
	return json.Marshal(struct {
		fields

		Event any `json:"event"`
	}{fields(l), shown})
}

// GraphError is what Meta said last about the event.
type GraphError struct {
	Code    int    `json:"code,omitempty"`
	Subcode int    `json:"subcode,omitempty"`
	Message string `json:"message"`
	TraceID string `json:"fbtrace_id,omitempty"`
}

// Subject is where the letter belongs below root.
func (l *Letter) Subject(root string) string {
	return root + "." + cmp.Or(l.Dataset, NoDatasetWord) + "." + string(l.Reason)
}

// Message renders the letter for the stream, in at most maxPayload bytes. All of
// it fits into the 64 KB that JetStream has for headers; what does not fit of
// the event is cut off.
func (l *Letter) Message(root string, maxPayload int) *nats.Msg {
	msg := nats.NewMsg(l.Subject(root))
	msg.Data = l.Event
	set := func(name, value string) {
		if value != "" {
			msg.Header.Set(name, value)
		}
	}
	maps.Copy(msg.Header, l.Trace)
	set(header.Reason, string(l.Reason))
	if len(l.Faults) > 0 {
		set(header.Detail, detail(l.Faults))
	}
	if g := l.Graph; g != nil {
		set(header.GraphCode, number(uint64(g.Code)))
		set(header.GraphSubcode, number(uint64(g.Subcode)))
		set(header.GraphMessage, oneLine(g.Message))
		set(header.TraceID, oneLine(g.TraceID))
	}
	set(header.Dataset, l.Dataset)
	set(header.Envelope, l.Envelope)
	set(header.DedupeID, l.DedupeID)
	set(header.ContentIDs, formatContentIDs(l.ContentIDs))
	msg.Header.Set(header.Attempts, strconv.Itoa(l.Attempts))
	set(header.MaybeSent, number(uint64(l.MaybeSent)))
	set(header.Claim, number(uint64(l.Claim)))
	set(header.FirstSeen, l.FirstSeen.UTC().Format(time.RFC3339Nano))
	set(header.DeadLetteredAt, l.DeadLetteredAt.UTC().Format(time.RFC3339Nano))
	set(header.OriginSubject, l.OriginSubject)
	set(header.OriginSequence, number(l.OriginSequence))
	set(header.Places, formatPlaces(l.Places))
	set(header.CutOff, number(uint64(max(0, l.CutOff))))
	cutOff(msg, maxPayload)
	return msg
}

// errNotALetter says that a message of the stream was not written by
// [Letter.Message].
var errNotALetter = errors.New("not a dead letter of this program")

// Parse reads a message of the dead-letter stream.
func Parse(sequence uint64, data []byte, headers nats.Header) (Letter, error) {
	l := Letter{
		Sequence: sequence, Event: data,
		Reason: Reason(headers.Get(header.Reason)), Dataset: headers.Get(header.Dataset),
		Envelope: headers.Get(header.Envelope), DedupeID: headers.Get(header.DedupeID),
		ContentIDs:    ParseContentIDs(headers.Get(header.ContentIDs)),
		OriginSubject: headers.Get(header.OriginSubject),
		Trace:         traceOf(headers),
	}
	if l.Reason == "" {
		return Letter{}, fmt.Errorf("message %d: %w: it has no %s header", sequence, errNotALetter, header.Reason)
	}
	var err error
	read := func(name string, parse func(string) error) {
		if text := headers.Get(name); text != "" && err == nil {
			if parseErr := parse(text); parseErr != nil {
				err = fmt.Errorf("message %d: header %s: %w", sequence, name, parseErr)
			}
		}
	}
	read(header.Detail, func(s string) error { return json.Unmarshal([]byte(s), &l.Faults) })
	read(header.CutOff, func(s string) (err error) { l.CutOff, err = strconv.Atoi(s); return err })
	read(header.Places, func(s string) (err error) { l.Places, err = ParsePlaces(s); return err })
	read(header.Attempts, func(s string) (err error) { l.Attempts, err = strconv.Atoi(s); return err })
	read(header.MaybeSent, func(s string) (err error) { l.MaybeSent, err = strconv.Atoi(s); return err })
	read(header.Claim, func(s string) (err error) { l.Claim, err = strconv.ParseInt(s, 10, 64); return err })
	read(header.FirstSeen, func(s string) (err error) { l.FirstSeen, err = time.Parse(time.RFC3339Nano, s); return err })
	read(header.DeadLetteredAt,
		func(s string) (err error) { l.DeadLetteredAt, err = time.Parse(time.RFC3339Nano, s); return err })
	read(header.OriginSequence,
		func(s string) (err error) { l.OriginSequence, err = strconv.ParseUint(s, 10, 64); return err })
	if message := headers.Get(header.GraphMessage); message != "" {
		l.Graph = &GraphError{Message: message, TraceID: headers.Get(header.TraceID)}
		read(header.GraphCode, func(s string) (err error) { l.Graph.Code, err = strconv.Atoi(s); return err })
		read(header.GraphSubcode, func(s string) (err error) { l.Graph.Subcode, err = strconv.Atoi(s); return err })
	}
	return l, err
}

// traceOf picks the headers of W3C trace context.
func traceOf(headers nats.Header) nats.Header {
	trace := nats.Header{}
	for _, name := range []string{header.TraceParent, header.TraceState, header.Baggage} {
		if value := headers.Get(name); value != "" {
			trace.Set(name, value)
		}
	}
	if len(trace) == 0 {
		return nil
	}
	return trace
}

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// oneLine makes a text fit a header: no line breaks, and no longer than needed.
func oneLine(text string) string {
	const most = 1000
	line := []rune(text)
	for i, r := range line {
		if r < ' ' {
			line[i] = ' '
		}
	}
	return string(line[:min(len(line), most)])
}
