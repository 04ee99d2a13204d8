package streams

import (
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// Config says where events come from and go to in NATS.
type Config struct {
	// Section is what the names of these settings begin with where people set
	// them, with a dot: texts that tell somebody to set one say it so.
	Section string `yaml:"-"`

	// Stream holds the events, on Subject.<dataset id> and Subject.auto.
	Stream  string `yaml:"stream"`
	Subject string `yaml:"subject"`
	// Consumer is the durable consumer's name, on the events and on the
	// parked events. Workers with the same name share the work.
	Consumer string `yaml:"consumer"`
	// ParkedStream holds events that wait, on ParkedSubject.>.
	ParkedStream  string `yaml:"parked_stream"`
	ParkedSubject string `yaml:"parked_subject"`
	// DeadLetterStream holds events that Meta will not take, on
	// DeadLetterSubject.<dataset id>.<reason>.
	DeadLetterStream  string `yaml:"dead_letter_stream"`
	DeadLetterSubject string `yaml:"dead_letter_subject"`
	// Manage creates missing streams and keeps the consumers up to date. If
	// false, they are only verified.
	Manage bool `yaml:"manage"`
	// Replicas, ages and sizes are for streams that are created.
	Replicas int `yaml:"replicas"`
	// MaxAge is how long events are kept, sent or not; 0 is for ever.
	MaxAge time.Duration `yaml:"max_age"`
	// MaxBytes is how much the stream of events may hold; 0 is no limit. It
	// refuses events when it is full.
	MaxBytes int `yaml:"max_bytes"`
	// DeadLetterMaxAge is how long dead letters are kept; 0 is for ever.
	DeadLetterMaxAge time.Duration `yaml:"dead_letter_max_age"`
	// DeadLetterMaxBytes is how much the stream of dead letters may hold; 0 is
	// no limit. When it is full, dead letters wait in the parked stream.
	DeadLetterMaxBytes int `yaml:"dead_letter_max_bytes"`
	// AckWait is how long the server waits for a worker's sign of life
	// before it gives a message to another worker.
	AckWait time.Duration `yaml:"ack_wait"`
	// MaxAckPending is how many messages all workers together may have in
	// hand.
	MaxAckPending int `yaml:"max_ack_pending"`
}

// Default returns the settings a careful operator would leave alone.
func Default() Config {
	return Config{
		Stream: "CAPI", Subject: "capi.events",
		Consumer:     "capi-dispatcher",
		ParkedStream: "CAPI_PARKED", ParkedSubject: "capi.parked",
		DeadLetterStream: "CAPI_DLQ", DeadLetterSubject: "capi.dead",
		Manage: true, Replicas: 1,
		MaxAge: event.MaxAge + 24*time.Hour, DeadLetterMaxAge: 90 * 24 * time.Hour, DeadLetterMaxBytes: 1_000_000_000,
		AckWait: 30 * time.Second, MaxAckPending: 20_000,
	}
}

// Setting returns how people find a setting of this configuration.
func (c Config) Setting(name string) string { return c.Section + name }

// ToBegin returns how old a claim may be when a request on it is begun.
func (c Config) ToBegin() time.Duration { return c.AckWait / 6 }

// ClaimLease returns for how long after a claim no other delivery may send the
// event: a sixth of AckWait until the request is begun, half of it for the
// request, and a sixth to confirm it. It depends on nothing that may differ
// among workers.
func (c Config) ClaimLease() time.Duration { return c.AckWait * 5 / 6 }

// Letters returns where dead letters are, and where they go when replayed.
func (c Config) Letters() deadletter.Streams {
	return deadletter.Streams{
		Letters: c.DeadLetterStream, LettersSubject: c.DeadLetterSubject,
		Parked: c.ParkedStream, ParkedSubject: c.ParkedSubject,
	}
}
