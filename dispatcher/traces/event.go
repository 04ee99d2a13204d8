package traces

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/redact"
)

// The attributes that are ours.
const (
	DatasetKey   = attribute.Key("capi.dataset")
	EventIDKey   = attribute.Key("capi.event.id")
	EventNameKey = attribute.Key("capi.event.name")
	ChannelKey   = attribute.Key("capi.event.channel")
	OutcomeKey   = attribute.Key("capi.outcome")
	ReasonKey    = attribute.Key("capi.reason")
	AttemptsKey  = attribute.Key("capi.attempts")
	MaybeSentKey = attribute.Key("capi.maybe_sent")
)

// The names of what happens to an event.
const (
	Claimed      = "capi.claim"
	Held         = "capi.hold"
	Parked       = "capi.park"
	Woken        = "capi.wake"
	LookedUp     = "capi.lookup"
	Repaired     = "capi.repair"
	DeadLettered = "capi.dead_letter"
)

// Event is an event in flight as its trace sees it. Where the trace is not sampled,
// its methods do nothing; so do those of the zero Event.
type Event struct {
	span trace.Span // nil unless it is recorded
	// unsampled is the id of a trace that would have begun here. It travels with the
	// event, so that it is not sampled some other time, when half of it is over.
	unsampled trace.TraceID
}

// Message is what an event has come in.
type Message struct {
	Headers  nats.Header
	Subject  string // "" if it may be made of anything
	Sequence uint64
}

// About is what is known of an event when its span starts.
type About struct{ Dataset, ID, Name, Channel string }

// Start begins the span of an event.
func (s *Source) Start(m Message, about About) Event {
	if s == nil || s.off {
		return Event{}
	}
	parent := producers(m.Headers)
	id := parent.TraceID()
	if !parent.IsValid() {
		id = NewTraceID()
	}
	if !s.sampled(parent, id) {
		if parent.IsValid() {
			return Event{} // what its producer says goes on
		}
		return Event{unsampled: id}
	}
	if !parent.IsValid() { // the id of the trace that the sampler was asked about, of no span
		parent = trace.NewSpanContext(trace.SpanContextConfig{TraceID: id})
	}
	span := s.server.Load().start(withState(parent, m.Headers), s.ofEvent(&m, &about))
	if !span.IsRecording() {
		return Event{}
	}
	return Event{span: span}
}

// ofEvent is what an event has of its own.
func (s *Source) ofEvent(m *Message, about *About) []attribute.KeyValue {
	const most = 6
	return appendTexts(append(make([]attribute.KeyValue, 0, most),
		semconv.MessagingMessageID(strconv.FormatUint(m.Sequence, 10))),
		text{semconv.MessagingDestinationNameKey, m.Subject}, text{DatasetKey, about.Dataset},
		text{EventIDKey, s.showableID(about.ID)}, text{EventNameKey, s.showableName(about.Name)},
		text{ChannelKey, about.Channel})
}

// text is an attribute that is left out where it is empty.
type text struct {
	key   attribute.Key
	value string
}

func appendTexts(to []attribute.KeyValue, texts ...text) []attribute.KeyValue {
	for _, t := range texts {
		if t.value != "" {
			to = append(to, t.key.String(t.value))
		}
	}
	return to
}

// showableID is an event's id as a span may have it: hashed where it may be
// personal data, a secret, or too long.
func (t *Tracer) showableID(id string) string {
	const most = 256
	if id == "" || !t.private && len(id) <= most && !redact.HoldsToken(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256-" + hex.EncodeToString(sum[:])
}

// OtherName stands in for the name of an event that may be personal data.
const OtherName = "_OTHER"

// showableName is an event's name, if it is known or made of a few letters only: any
// text may stand there.
func (t *Tracer) showableName(name string) string {
	if name == "" || t.names[name] || !t.private && isWord(name) {
		return name
	}
	return OtherName
}

func isWord(name string) bool {
	const most = 40
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' {
			return false
		}
	}
	return len(name) <= most
}

// Sampled reports whether the event has a span.
func (e Event) Sampled() bool { return e.span != nil }

// SpanContext is that of its span.
func (e Event) SpanContext() trace.SpanContext {
	if e.span == nil {
		return trace.SpanContext{}
	}
	return e.span.SpanContext()
}

// Exemplar is what a measurement of the event is made in, so that it leads to the
// trace if the event is sampled.
func (e Event) Exemplar() context.Context {
	if !e.Sampled() {
		return context.Background()
	}
	return trace.ContextWithSpanContext(context.Background(), e.SpanContext())
}

// Claim notes what Redis says of the event.
func (e Event) Claim(state string) { e.note(Claimed, "capi.claim.state", state) }

// Hold notes that the event waits for another one with the same identity, which is
// in flight.
func (e Event) Hold() { e.note(Held, "", "") }

// Park notes that the event is stored to come back later.
func (e Event) Park(reason string) { e.note(Parked, ReasonKey, reason) }

// Wake notes that the event is back from where it was parked: called back, or at
// its time.
func (e Event) Wake(reason string, recalled bool) {
	how := "due"
	if recalled {
		how = "called_back"
	}
	if e.span != nil {
		e.span.AddEvent(Woken, trace.WithAttributes(
			appendTexts(nil, text{ReasonKey, reason}, text{"capi.wake.how", how})...))
	}
}

// LookUp notes what came of the question for the event's dataset.
func (e Event) LookUp(found string) { e.note(LookedUp, "capi.lookup.result", found) }

// Seek says what came of looking up whose the event is.
func (e Event) Seek(found string) {
	if e.span != nil {
		e.span.SetAttributes(attribute.String("capi.attribution", found))
	}
}

// OfDataset says which dataset the event is of, once that is found.
func (e Event) OfDataset(id string) {
	if e.span != nil {
		e.span.SetAttributes(DatasetKey.String(id))
	}
}

// Repair notes which members of the event were brought into the form that Meta
// takes.
func (e Event) Repair(members []string) {
	if e.span != nil && len(members) > 0 {
		e.span.AddEvent(Repaired, trace.WithAttributes(attribute.StringSlice("capi.members", members)))
	}
}

// Bury notes that the event is a dead letter, and its number if it is stored.
func (e Event) Bury(reason, fault string, letter uint64) {
	if e.span == nil {
		return
	}
	attributes := appendTexts(nil, text{ReasonKey, reason}, text{"capi.fault", fault})
	if letter > 0 {
		attributes = append(attributes, attribute.Int64("capi.letter", int64(letter)))
	}
	e.span.AddEvent(DeadLettered, trace.WithAttributes(attributes...))
}

// noter is a span that notes an event with one text at little cost.
type noter interface {
	Note(name string, key attribute.Key, value string)
}

func (e Event) note(name string, key attribute.Key, value string) {
	if e.span == nil {
		return
	}
	if n, ok := e.span.(noter); ok {
		n.Note(name, key, value)
		return
	}
	e.span.AddEvent(name, trace.WithAttributes(appendTexts(nil, text{key, value})...))
}

// Ending is how an event leaves.
type Ending struct {
	Outcome, Reason     string
	Failed              bool
	Attempts, MaybeSent int
}

// End ends the span of an event with what has become of it.
func (e Event) End(how Ending) {
	if e.span == nil {
		return
	}
	attributes := make([]attribute.KeyValue, 0, 5)
	attributes = append(attributes, OutcomeKey.String(how.Outcome))
	if how.Attempts > 0 {
		attributes = append(attributes, AttemptsKey.Int(how.Attempts))
	}
	if how.MaybeSent > 0 {
		attributes = append(attributes, MaybeSentKey.Int(how.MaybeSent))
	}
	attributes = appendTexts(attributes, text{ReasonKey, how.Reason})
	if how.Failed {
		kind := how.Reason
		if kind == "" {
			kind = how.Outcome
		}
		attributes = append(attributes, semconv.ErrorTypeKey.String(kind))
		e.span.SetStatus(codes.Error, kind)
	}
	e.span.SetAttributes(attributes...)
	e.span.End()
}
