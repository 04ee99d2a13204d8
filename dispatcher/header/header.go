// Package header names the headers of messages that carry events. They are
// part of the interface: producers and consumers of dead letters rely on them.
package header

// Headers that producers may set, beside Nats-Msg-Id and those of W3C trace
// context.
const (
	Dataset       = "Capi-Dataset-Id"      // for events published to .auto
	TestEventCode = "Capi-Test-Event-Code" // for events without a request body
	Conversation  = "Capi-Conversation-Id" // of events that do not say whose they are
)

// Headers on parked events and dead letters.
const (
	FirstSeen      = "Capi-First-Seen"      // RFC 3339
	Attempts       = "Capi-Attempts"        // requests to Meta the event was in
	MaybeSent      = "Capi-Maybe-Sent"      // of these, how many of unknown outcome
	Reason         = "Capi-Reason"          // why it is here
	Envelope       = "Capi-Envelope"        // what its request body said beside data, as JSON
	DedupeID       = "Capi-Dedupe-Id"       // what identifies an event without event_id
	OriginSubject  = "Capi-Origin-Subject"  // where it was published first
	OriginSequence = "Capi-Origin-Sequence" // and its number in that stream
	Claim          = "Capi-Claim"           // that an event which may have been sent has kept in Redis
)

// Headers on parked events only.
const (
	Parked   = "Capi-Parked"   // how often the event has been parked
	Recalled = "Capi-Recalled" // when it was called back before its time, RFC 3339
	// RefusedAlone is when Meta has refused the event alone, while it refused
	// all events of the dataset that were tried, RFC 3339.
	RefusedAlone = "Capi-Refused-Alone"
	// Accepted is when Meta last accepted an event of the dataset, as far as the
	// worker knew that called the event back, RFC 3339.
	Accepted = "Capi-Accepted"
	Early    = "Capi-Early"   // how often Meta took the event for one of the future
	Counted  = "Capi-Counted" // 1: that it is late has been counted
	// Undelivered says that this is no event but a dead letter, with all of its
	// headers, that its stream has refused: it is stored there under this
	// message id once it can be.
	Undelivered = "Capi-Undelivered"
)

// Headers on dead letters only. They carry [Dataset] as well.
const (
	Detail         = "Capi-Detail"        // all faults, as JSON
	GraphCode      = "Capi-Graph-Code"    // Meta's error code
	GraphSubcode   = "Capi-Graph-Subcode" // and subcode
	GraphMessage   = "Capi-Graph-Message" // and text
	TraceID        = "Capi-Fbtrace-Id"    // Meta's name for the request
	DeadLetteredAt = "Capi-Dead-Lettered-At"
	CutOff         = "Capi-Cut-Off" // how many bytes the event had, where it does not fit a message
	Places         = "Capi-Places"  // where its events stood in the message that was published, if it holds several
	// ContentIDs identify events, if it holds several, by what was published of
	// each, where neither the producer nor what is held here does.
	ContentIDs = "Capi-Content-Ids"
)

// Headers of W3C trace context.
const (
	TraceParent = "traceparent"
	TraceState  = "tracestate"
	Baggage     = "baggage"
)
