package parked

import (
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
)

// Event is a parked event, with what has happened to it; or a replayed dead
// letter, which comes the same way.
type Event struct {
	// Data is the event, with its request body around it where that is long.
	Data []byte
	// Envelope is what the request body said beside it, if that fits a header.
	Envelope string
	Reason   Reason
	// FirstSeen is when the event was published first.
	FirstSeen time.Time
	Attempts  int // requests to Meta that it was in
	MaybeSent int // of these, how many of unknown outcome
	Parked    int // times
	Early     int // times that Meta took it for one of the future
	// Counted: that the event is late for Meta has been counted.
	Counted bool
	// RefusedAlone is when Meta has refused it alone, on the server's clock;
	// zero if it has not.
	RefusedAlone time.Time
	// OriginSubject and OriginSequence are where it was published first.
	OriginSubject  string
	OriginSequence uint64
	// Claim is that of a dead letter, kept in Redis, which this event replaces by
	// its own; 0 is none.
	Claim int64
	// DedupeID stands in for a missing event_id.
	DedupeID string
	Trace    nats.Header

	// Recalled is when the event was woken, and Accepted when Meta had last
	// accepted an event of the dataset then, as far as the worker knew that woke
	// it; zero if that was not. [Stream.Wake] writes them.
	Recalled, Accepted time.Time
	// Places are where the events of a replay that holds several stood in the
	// message that was published, and ContentIDs name those of them that are known
	// by their content as published. Only replays have them.
	Places     []int
	ContentIDs []string
}

// Message renders the event for the stream, to wait for its time under an id of
// its own. Where it comes back is said by [Subjects.Schedule].
func (e *Event) Message(subjects Subjects, to, id string) *nats.Msg {
	msg := nats.NewMsg(subjects.Wait(to, id))
	msg.Data = e.Data
	set := msg.Header.Set
	maps.Copy(msg.Header, e.Trace)
	set(header.Reason, string(e.Reason))
	set(header.FirstSeen, stamp(e.FirstSeen))
	set(header.Attempts, strconv.Itoa(e.Attempts))
	set(header.Parked, strconv.Itoa(e.Parked))
	set(header.OriginSubject, e.OriginSubject)
	set(header.OriginSequence, strconv.FormatUint(e.OriginSequence, 10))
	if e.MaybeSent > 0 {
		set(header.MaybeSent, strconv.Itoa(e.MaybeSent))
	}
	if e.Early > 0 {
		set(header.Early, strconv.Itoa(e.Early))
	}
	if e.Counted {
		set(header.Counted, "1")
	}
	if !e.RefusedAlone.IsZero() {
		set(header.RefusedAlone, stamp(e.RefusedAlone))
	}
	if e.Claim != 0 {
		set(header.Claim, strconv.FormatInt(e.Claim, 10))
	}
	if e.DedupeID != "" {
		set(header.DedupeID, e.DedupeID)
	}
	if e.Envelope != "" {
		set(header.Envelope, e.Envelope)
	}
	return msg
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }

// Parse reads a message of the stream, which was stored at that time. What cannot
// be read counts as not written: the event was parked then, for the first time.
func Parse(data []byte, headers nats.Header, stored time.Time) Event {
	e := Event{
		Data:          data,
		Envelope:      headers.Get(header.Envelope),
		Reason:        reasonOf(headers),
		FirstSeen:     timeIn(headers, header.FirstSeen, stored),
		Attempts:      Count(headers.Get(header.Attempts)),
		MaybeSent:     Count(headers.Get(header.MaybeSent)),
		Parked:        Count(headers.Get(header.Parked)),
		Early:         Count(headers.Get(header.Early)),
		Counted:       headers.Get(header.Counted) != "",
		RefusedAlone:  timeIn(headers, header.RefusedAlone, time.Time{}),
		OriginSubject: headers.Get(header.OriginSubject),
		DedupeID:      headers.Get(header.DedupeID),
		Trace:         traceOf(headers),
		Recalled:      timeIn(headers, header.Recalled, time.Time{}),
		Accepted:      timeIn(headers, header.Accepted, time.Time{}),
		ContentIDs:    deadletter.ParseContentIDs(headers.Get(header.ContentIDs)),
	}
	if claim, err := strconv.ParseInt(headers.Get(header.Claim), 10, 64); err == nil {
		e.Claim = claim
	}
	if places, err := deadletter.ParsePlaces(headers.Get(header.Places)); err == nil {
		e.Places = places
	}
	e.OriginSequence, _ = strconv.ParseUint(headers.Get(header.OriginSequence), 10, 64)
	return e
}

// IsReplay reports whether a message of the stream is a replayed dead letter: a
// parked event has a header that says so.
func IsReplay(headers nats.Header) bool { return headers.Get(header.Parked) == "" }

// Count reads a count that we wrote ourselves; anything else counts as none.
func Count(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// timeIn reads a header that holds a time, or returns what goes for it.
func timeIn(headers nats.Header, name string, otherwise time.Time) time.Time {
	at, err := time.Parse(time.RFC3339Nano, headers.Get(name))
	if err != nil {
		return otherwise
	}
	return at
}

// traceOf picks the headers of W3C trace context.
func traceOf(headers nats.Header) (trace nats.Header) {
	for _, name := range []string{header.TraceParent, header.TraceState, header.Baggage} {
		if value := headers.Get(name); value != "" {
			if trace == nil {
				trace = nats.Header{}
			}
			trace.Set(name, value)
		}
	}
	return trace
}
