// Package event reads server events as Meta's Conversions API documents them.
//
// A message carries either one event or a whole request body with up to
// [MaxEvents] of them; [Decoder.Decode] tells the two apart. Each event keeps
// the exact bytes it arrived as, so that unknown fields pass through untouched
// and ids beyond 2^53 keep every digit.
//
// Meta refuses a whole request for one bad event, so an event is checked here,
// alone, before it may share a batch: all its faults are found at once, each
// with a JSON pointer, a stable code and a sentence for a person. What depends
// on the clock is asked separately, with [Event.CheckTime], because an event
// that was fresh when it was read may be too old when it is sent.
package event

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/reference"
)

// MaxEvents is how many events Meta takes in one request.
// Source: Meta, "Using the API", Conversions API (2026).
const MaxEvents = 1000

// Event is one server event.
type Event struct {
	// Raw is the event's JSON object: byte for byte as it arrived, but for
	// what a rule changes (personal data hashed, members removed or
	// renamed; see [Rules] and docs/events.md).
	Raw []byte
	// Published is the event as it was published, where Raw is another one; else
	// nil. It may hold personal data, and is not to be stored.
	Published []byte
	// Name is event_name.
	Name string
	// ID is event_id, or "" when the producer gave none.
	ID string
	// Time is event_time: when the conversion happened, to the second.
	Time time.Time
	// ActionSource is action_source: where the conversion happened.
	ActionSource ActionSource
	// Channel is messaging_channel, set on business messaging events only.
	Channel Channel
	// TestEventCode is a test_event_code that stood in the event, where Meta
	// would not look for it. It goes before that of the envelope.
	TestEventCode string
	// Assets are the accounts the event names.
	Assets Assets
	// Reference says whose conversion it is, where the event says so in _capi, which
	// is taken out; else nil.
	Reference *reference.Reference
	// Filled is a JSON pointer to the account that was filled in, or "" (see
	// [Decoder.Fill]).
	Filled string
	// Removed are JSON pointers to members that were taken out, because Meta
	// would refuse them (see [Rules.MessagingExtras]), or could not use them
	// (see [Rules.UnusablePersonalData]), with * for indexes.
	Removed []string
	// Repaired are JSON pointers to members that were brought into the form
	// that Meta takes, or filled in: each is one of [Repairs].
	Repaired []string
	// Faults is everything that Meta would refuse about the event whatever
	// the time of day. An event with faults must not enter a batch.
	Faults []Fault
	// Warnings are what Meta takes, but may not be able to use. They never
	// stop an event. Each has its code from [WarningCodes].
	Warnings []Fault
}

// Repairs lists everything that is brought into the form that Meta takes, where
// nothing is lost by it and nothing guessed: pointers as in [Event.Repaired].
func Repairs() []string {
	return []string{
		"/event_time", "/original_event_data/event_time", "/action_source", "/opt_out",
		"/data_processing_options_country", "/data_processing_options_state",
		"/custom_data/contents/*/quantity", "/app_data/extinfo/*",
		"/user_data/page_id", "/user_data/page_scoped_user_id", "/user_data/whatsapp_business_account_id",
		"/user_data/ig_account_id", "/user_data/instagram_business_account_id", "/user_data/ig_sid",
	}
}

// Copied returns how many bytes the event has of its own, beside those of its
// message.
func (e *Event) Copied() int {
	if e.Published == nil {
		return 0
	}
	return len(e.Raw)
}

// Assets are the ids of the accounts an event belongs to, as the event spells
// them in user_data. Each may be empty.
type Assets struct {
	Page      string // page_id
	WhatsApp  string // whatsapp_business_account_id
	Instagram string // ig_account_id, else instagram_business_account_id
}

// ActionSource says where a conversion happened.
type ActionSource string

// The action sources that Meta knows (server event parameters, 2026).
const (
	Email             ActionSource = "email"
	Website           ActionSource = "website"
	App               ActionSource = "app"
	PhoneCall         ActionSource = "phone_call"
	Chat              ActionSource = "chat"
	PhysicalStore     ActionSource = "physical_store"
	SystemGenerated   ActionSource = "system_generated"
	BusinessMessaging ActionSource = "business_messaging"
	Other             ActionSource = "other"
)

// ActionSources lists every action source, in the order Meta documents them.
func ActionSources() []ActionSource {
	return []ActionSource{
		Email, Website, App, PhoneCall, Chat,
		PhysicalStore, SystemGenerated, BusinessMessaging, Other,
	}
}

// Channel is the chat a business messaging event happened in.
type Channel string

// The messaging channels that Meta knows (business messaging guide, 2026).
const (
	Messenger Channel = "messenger"
	WhatsApp  Channel = "whatsapp"
	Instagram Channel = "instagram"
)

// Channels lists every messaging channel.
func Channels() []Channel { return []Channel{Messenger, WhatsApp, Instagram} }

// Envelope is what a request body says beside its events.
type Envelope struct {
	// TestEventCode routes the request to the Test Events tool.
	TestEventCode string
	// PartnerAgent names the partner that sends.
	PartnerAgent string
	// Extra holds the other members that Meta documents, as one compact JSON
	// object ("" when there is none), to be sent along untouched.
	Extra string
}

// Request is what one message asks to be sent.
type Request struct {
	Envelope Envelope
	Events   []Event
	// Secrets is how many credentials have been taken out of the message.
	Secrets int
	// Dropped is how many members beside the events have been left out,
	// because Meta documents none of that name.
	Dropped int
}

// ContentKey returns bytes that are equal for two events with the same
// content: white space and the order of members do not matter, while numbers
// and strings are compared as they are spelled, so that two long ids never
// become one by rounding.
func (e *Event) ContentKey() []byte { return contentKey(e.Raw) }

// PublishedKey is the content key of the event as it was published, before it
// was changed; nil if it was not.
func (e *Event) PublishedKey() []byte {
	if e.Published == nil {
		return nil
	}
	return contentKey(e.Published)
}

func contentKey(raw []byte) []byte {
	value := jsontext.Value(raw).Clone()
	// The event was decoded from valid JSON, so this cannot fail; if it
	// did, the bytes as they are would still be a sound key.
	_ = value.Format(
		jsontext.ReorderRawObjects(true),
		jsontext.CanonicalizeRawInts(false),
		jsontext.CanonicalizeRawFloats(false),
		jsontext.PreserveRawStrings(true),
		jsontext.SpaceAfterComma(false),
		jsontext.SpaceAfterColon(false),
		jsontext.Multiline(false),
	)
	return value
}
