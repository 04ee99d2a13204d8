package dispatcher

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// Streams says where events come from and go to in NATS.
type Streams struct {
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

// OnUnknown says what to do with events that Meta may have received or not.
type OnUnknown string

// The policies for unknown outcomes.
const (
	Resend     OnUnknown = "resend"
	DeadLetter OnUnknown = "dead_letter"
)

// Retry is the backoff between attempts in process.
type Retry struct {
	retry.Backoff `yaml:",inline"`

	// Budget is how long a batch is tried in process before it is parked.
	Budget time.Duration `yaml:"budget"`
}

// Delivery says how events are sent.
type Delivery struct {
	// Senders bounds the requests in flight.
	Senders int `yaml:"senders"`
	// SendersPerDataset bounds the requests in flight for one dataset and
	// one envelope.
	SendersPerDataset int `yaml:"senders_per_dataset"`
	// SendersPerDatasetMax bounds them with those that it borrows for full
	// requests while others are idle. Less than SendersPerDataset borrows none.
	SendersPerDatasetMax int `yaml:"senders_per_dataset_max"`
	// OnUnknown decides about events of unknown outcome.
	OnUnknown OnUnknown `yaml:"on_unknown"`
	// MaxUnknown is after how many unknown outcomes an event is not sent
	// again but dead-lettered, even if OnUnknown is Resend.
	MaxUnknown int   `yaml:"max_unknown"`
	Retry      Retry `yaml:"retry"`
	// Park is how long a dataset in trouble is left alone before one event is
	// tried, the first time and at the most. Parked events that nobody calls
	// back come back after Max.
	Park retry.Backoff `yaml:"park"`
	// MaxInHand and MaxInHandBytes bound the messages in this process.
	MaxInHand      int `yaml:"max_in_hand"`
	MaxInHandBytes int `yaml:"max_in_hand_bytes"`
	// MaxWait is how long a dataset's events may wait for a sender, when
	// much is in hand, before they are parked to make room for others.
	MaxWait time.Duration `yaml:"max_wait"`
	// UnlinkedMax is how long events wait for their account to be linked, or
	// to be found, before they are dead-lettered; 0 is until they expire.
	UnlinkedMax time.Duration `yaml:"unlinked_max"`
	// DrainTimeout is how long a stopping worker goes on with what it has.
	DrainTimeout time.Duration `yaml:"drain_timeout"`
}

// IdentityKind says what tells one event from another.
type IdentityKind string

// What tells events apart, beside the dataset.
const (
	ByEvent   IdentityKind = "event"    // event_name and event_id, as Meta does
	ByEventID IdentityKind = "event_id" // event_id alone
)

// Metrics bounds what is counted.
type Metrics struct {
	// Datasets is how many datasets have series of their own.
	Datasets int `yaml:"datasets"`
}

// Config is everything a dispatcher can be told.
type Config struct {
	admission.Config

	Streams  Streams
	Delivery Delivery
	Identity IdentityKind
	Metrics  Metrics
	// Rules say how events are checked.
	Rules event.Rules
	// RequestTimeout is the graph client's bound on one request.
	RequestTimeout time.Duration
}

// DefaultStreams returns the settings a careful operator would leave alone.
func DefaultStreams() Streams {
	return Streams{
		Stream: "CAPI", Subject: "capi.events",
		Consumer:     "capi-dispatcher",
		ParkedStream: "CAPI_PARKED", ParkedSubject: "capi.parked",
		DeadLetterStream: "CAPI_DLQ", DeadLetterSubject: "capi.dead",
		Manage: true, Replicas: 1,
		MaxAge: event.MaxAge + 24*time.Hour, DeadLetterMaxAge: 90 * 24 * time.Hour, DeadLetterMaxBytes: 1_000_000_000,
		AckWait: 30 * time.Second, MaxAckPending: 20_000,
	}
}

// DefaultDelivery returns the settings a careful operator would leave alone.
func DefaultDelivery() Delivery {
	return Delivery{
		Senders: 32, SendersPerDataset: 2, SendersPerDatasetMax: 8,
		OnUnknown: Resend, MaxUnknown: 5,
		Retry:     Retry{Backoff: retry.Backoff{Initial: 500 * time.Millisecond, Max: 30 * time.Second}, Budget: 45 * time.Second},
		Park:      retry.Backoff{Initial: time.Minute, Max: 15 * time.Minute},
		MaxInHand: 10_000, MaxInHandBytes: 32_000_000,
		MaxWait: 15 * time.Second, DrainTimeout: 25 * time.Second,
	}
}

// DefaultMetrics returns the settings a careful operator would leave alone.
func DefaultMetrics() Metrics { return Metrics{Datasets: 1000} }

// toBegin is how old a claim may be when a request on it is begun.
func (s Streams) toBegin() time.Duration { return s.AckWait / 6 }

// ClaimLease is for how long after a claim nobody else may send the event: a
// sixth of AckWait until the request is begun, half of it for the request, and
// a sixth to confirm it. It depends on nothing that may differ among workers.
func (s Streams) ClaimLease() time.Duration { return s.AckWait * 5 / 6 }

// Letters says where dead letters are, and where they go when replayed.
func (s Streams) Letters() deadletter.Streams {
	return deadletter.Streams{
		Letters: s.DeadLetterStream, LettersSubject: s.DeadLetterSubject,
		Parked: s.ParkedStream, ParkedSubject: s.ParkedSubject,
	}
}

// Validate reports every setting that cannot work, joined.
func (s Streams) Validate() error {
	var faults faults
	for key, name := range map[string]string{
		"stream": s.Stream, "consumer": s.Consumer, "parked_stream": s.ParkedStream, "dead_letter_stream": s.DeadLetterStream,
	} {
		faults.check(validName.MatchString(name), key, "%q is not a name for JetStream: letters, digits, - and _", name)
	}
	subjects := map[string]string{
		"subject": s.Subject, "parked_subject": s.ParkedSubject, "dead_letter_subject": s.DeadLetterSubject,
	}
	for key, subject := range subjects {
		faults.check(IsSubject(subject), key, "%q is not a subject of words joined by dots, without wildcards", subject)
		for other, prefix := range subjects {
			faults.check(key == other || !strings.HasPrefix(subject+".", prefix+"."), key, "%q lies within %s %q", subject, other, prefix)
		}
	}
	faults.check(s.Replicas >= 1 && s.Replicas <= 5, "replicas", "%d is not between 1 and 5", s.Replicas)
	s.checkRetention(&faults)
	faults.check(s.AckWait >= time.Second && s.AckWait <= time.Hour, "ack_wait", "%s is not between 1s and 1h", s.AckWait)
	faults.check(s.MaxAckPending >= 1 && s.MaxAckPending <= 100_000, "max_ack_pending", "%d is not between 1 and 100000", s.MaxAckPending)
	return faults.join()
}

// lettersDuplicates is the window in which the stream of dead letters knows
// copies. It can be no longer than the letters are kept.
const lettersDuplicates = time.Hour

// leastBytes is room for a few large messages.
const leastBytes = 10_000_000

// checkRetention looks at how much is kept, and for how long.
func (s Streams) checkRetention(faults *faults) {
	faults.check(s.MaxAge == 0 || s.MaxAge >= event.MaxAge, "max_age",
		"%s is less than the %s for which Meta takes events: those that wait would vanish", s.MaxAge, event.MaxAge)
	faults.check(s.DeadLetterMaxAge == 0 || s.DeadLetterMaxAge >= lettersDuplicates, "dead_letter_max_age",
		"%s is less than %s, for which copies of dead letters are known", s.DeadLetterMaxAge, lettersDuplicates)
	for key, size := range map[string]int{"max_bytes": s.MaxBytes, "dead_letter_max_bytes": s.DeadLetterMaxBytes} {
		faults.check(size == 0 || size >= leastBytes, key, "%d is less than 10MB, too little for a few large messages; 0 is no limit", size)
	}
}

// Validate reports every setting that cannot work, joined.
func (d Delivery) Validate() error {
	var faults faults
	faults.check(d.Senders >= 1 && d.Senders <= 1000, "senders", "%d is not between 1 and 1000", d.Senders)
	faults.check(d.SendersPerDataset >= 1 && d.SendersPerDataset <= d.Senders, "senders_per_dataset",
		"%d is not between 1 and senders (%d)", d.SendersPerDataset, d.Senders)
	faults.check(d.SendersPerDatasetMax >= 1 && d.SendersPerDatasetMax <= 1000, "senders_per_dataset_max", "%d is not between 1 and 1000", d.SendersPerDatasetMax)
	faults.check(d.OnUnknown == Resend || d.OnUnknown == DeadLetter, "on_unknown", "%q is neither %q nor %q", d.OnUnknown, Resend, DeadLetter)
	faults.check(d.MaxUnknown >= 1, "max_unknown", "%d is less than 1", d.MaxUnknown)
	faults.backoff("retry", d.Retry.Backoff)
	faults.check(d.Retry.Budget >= 0 && d.Retry.Budget <= 10*time.Minute, "retry.budget", "%s is not between 0s and 10m", d.Retry.Budget)
	faults.backoff("park", d.Park)
	faults.check(d.Park.Initial >= time.Second, "park.initial", "%s is less than the second that scheduling resolves", d.Park.Initial)
	faults.check(d.MaxInHand >= 1, "max_in_hand", "%d is less than 1", d.MaxInHand)
	faults.check(d.MaxInHandBytes >= 10_000_000, "max_in_hand_bytes", "%d is less than 10MB, too little for a few large messages", d.MaxInHandBytes)
	faults.check(d.MaxWait >= time.Second, "max_wait", "%s is less than 1s", d.MaxWait)
	faults.check(d.UnlinkedMax >= 0, "unlinked_max", "%s is negative; 0 is for as long as Meta takes the events", d.UnlinkedMax)
	faults.check(d.DrainTimeout >= 0, "drain_timeout", "%s is negative", d.DrainTimeout)
	return faults.join()
}

// Validate reports every setting that cannot work, joined.
func (m Metrics) Validate() error {
	var faults faults
	faults.check(m.Datasets >= 0 && m.Datasets <= 100_000, "datasets", "%d is not between 0 and 100000", m.Datasets)
	return faults.join()
}

// Validate reports what is wrong between the parts of the configuration; each
// part validates itself.
func (c Config) Validate() error {
	var faults faults
	faults.check(c.Identity == ByEvent || c.Identity == ByEventID, "dedupe.key", "%q is neither %q nor %q", c.Identity, ByEvent, ByEventID)
	faults.check(c.Streams.AckWait >= 2*c.RequestTimeout, "nats.ack_wait",
		"%s is less than twice graph.timeout (%s): a message could go to another worker while it is being sent", c.Streams.AckWait, c.RequestTimeout)
	return errors.Join(faults.join(), c.Config.Validate())
}

var (
	validName    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,200}$`)
	validSubject = regexp.MustCompile(`^[^\s.*>]+(\.[^\s.*>]+)*$`)
)

// IsSubject reports whether that is a subject without wildcards.
func IsSubject(text string) bool { return validSubject.MatchString(text) }

// faults gathers what is wrong with a configuration.
type faults []error

func (f *faults) check(ok bool, key, format string, args ...any) {
	if !ok {
		*f = append(*f, fmt.Errorf("%s: "+format, append([]any{key}, args...)...))
	}
}

func (f *faults) backoff(key string, b retry.Backoff) {
	f.check(b.Initial > 0, key+".initial", "%s is not positive", b.Initial)
	f.check(b.Max >= b.Initial, key+".max", "%s is less than %s.initial (%s)", b.Max, key, b.Initial)
}

func (f faults) join() error { return errors.Join(f...) }
