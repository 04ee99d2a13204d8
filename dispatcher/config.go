package dispatcher

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/claims"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/rights"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/traces"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/directory"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/redact"
	"github.com/capi-dispatcher/capi-dispatcher/internal/faults"
)

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
	// tried, the first time and at the most. Parked events that are not called
	// back come back after Max.
	Park retry.Backoff `yaml:"park"`
	// MaxInFlight and MaxInFlightBytes bound the messages in this process.
	MaxInFlight      int `yaml:"max_in_flight"`
	MaxInFlightBytes int `yaml:"max_in_flight_bytes"`
	// MaxWait is how long a dataset's events may wait for a sender, when
	// much is in flight, before they are parked to make room for others.
	MaxWait time.Duration `yaml:"max_wait"`
	// UnlinkedMax is how long events wait for their account to be linked, or
	// to be found, before they are dead-lettered; 0 is until they expire.
	UnlinkedMax time.Duration `yaml:"unlinked_max"`
	// DrainTimeout is how long a stopping worker goes on with what it has.
	DrainTimeout time.Duration `yaml:"drain_timeout"`
}

// IdentityKind says what identifies an event within its dataset.
type IdentityKind string

// What identifies an event, beside its dataset.
const (
	ByEvent   IdentityKind = "event"    // event_name and event_id, as Meta does
	ByEventID IdentityKind = "event_id" // event_id alone
)

// Metrics bounds what is counted.
type Metrics struct {
	// Datasets is how many datasets have series of their own.
	Datasets int `yaml:"datasets"`
}

// Config is the configuration of a dispatcher.
type Config struct {
	admission.Config

	Streams  streams.Config
	Delivery Delivery
	Identity IdentityKind
	Metrics  Metrics
	// Rules say how events are checked.
	Rules event.Rules
	// RequestTimeout is the graph client's bound on one request.
	RequestTimeout time.Duration
}

// DefaultDelivery returns the settings a careful operator would leave alone.
func DefaultDelivery() Delivery {
	return Delivery{
		Senders: 32, SendersPerDataset: 2, SendersPerDatasetMax: 8,
		OnUnknown: Resend, MaxUnknown: 5,
		Retry: Retry{
			Backoff: retry.Backoff{Initial: 500 * time.Millisecond, Max: 30 * time.Second}, Budget: 45 * time.Second,
		},
		Park:        retry.Backoff{Initial: time.Minute, Max: 15 * time.Minute},
		MaxInFlight: 10_000, MaxInFlightBytes: 32_000_000,
		MaxWait: 15 * time.Second, DrainTimeout: 25 * time.Second,
	}
}

// DefaultMetrics returns the settings a careful operator would leave alone.
func DefaultMetrics() Metrics { return Metrics{Datasets: 1000} }

// Validate reports every setting that cannot work, joined.
func (d Delivery) Validate() error {
	var found faults.List
	found.Check(d.Senders >= 1 && d.Senders <= 1000, "senders", "%d is not between 1 and 1000", d.Senders)
	found.Check(d.SendersPerDataset >= 1 && d.SendersPerDataset <= d.Senders, "senders_per_dataset",
		"%d is not between 1 and senders (%d)", d.SendersPerDataset, d.Senders)
	found.Check(d.SendersPerDatasetMax >= 1 && d.SendersPerDatasetMax <= 1000, "senders_per_dataset_max",
		"%d is not between 1 and 1000", d.SendersPerDatasetMax)
	found.Check(d.OnUnknown == Resend || d.OnUnknown == DeadLetter, "on_unknown", "%q is neither %q nor %q",
		d.OnUnknown, Resend, DeadLetter)
	found.Check(d.MaxUnknown >= 1, "max_unknown", "%d is less than 1", d.MaxUnknown)
	checkBackoff(&found, "retry", d.Retry.Backoff)
	found.Check(d.Retry.Budget >= 0 && d.Retry.Budget <= 10*time.Minute, "retry.budget",
		"%s is not between 0s and 10m", d.Retry.Budget)
	checkBackoff(&found, "park", d.Park)
	found.Check(d.Park.Initial >= time.Second, "park.initial", "%s is less than the second that scheduling resolves",
		d.Park.Initial)
	found.Check(d.MaxInFlight >= 1, "max_in_flight", "%d is less than 1", d.MaxInFlight)
	found.Check(d.MaxInFlightBytes >= 10_000_000, "max_in_flight_bytes",
		"%d is less than 10MB, too little for a few large messages", d.MaxInFlightBytes)
	found.Check(d.MaxWait >= time.Second, "max_wait", "%s is less than 1s", d.MaxWait)
	found.Check(d.UnlinkedMax >= 0, "unlinked_max", "%s is negative; 0 is for as long as Meta takes the events",
		d.UnlinkedMax)
	found.Check(d.DrainTimeout >= 0, "drain_timeout", "%s is negative", d.DrainTimeout)
	return found.Join()
}

// Validate reports every setting that cannot work, joined.
func (m Metrics) Validate() error {
	var found faults.List
	found.Check(m.Datasets >= 0 && m.Datasets <= 100_000, "datasets", "%d is not between 0 and 100000", m.Datasets)
	return found.Join()
}

// Validate reports a word that says nothing.
func (k IdentityKind) Validate() error {
	if k == ByEvent || k == ByEventID {
		return nil
	}
	return fmt.Errorf("%q is neither %q nor %q", k, ByEvent, ByEventID)
}

func checkBackoff(f *faults.List, key string, b retry.Backoff) {
	f.Check(b.Initial > 0, key+".initial", "%s is not positive", b.Initial)
	f.Check(b.Max >= b.Initial, key+".max", "%s is less than %s.initial (%s)", b.Max, key, b.Initial)
}

// Sender posts one request to Meta, once.
type Sender interface {
	Send(ctx context.Context, request graph.Request) graph.Answer
	// Endpoint returns the address that a dataset's events are posted to.
	Endpoint(dataset string) string
}

// Tokens knows when a dataset's access token is replaced, and which datasets
// have one of their own.
type Tokens interface {
	breaker.Tokens

	Owns(dataset string) bool
	// Changed returns when each token's file was last changed, by dataset.
	Changed() map[string]time.Time
}

// Directory finds the datasets of accounts: a [directory.Directory].
type Directory interface {
	// Recall returns what is in memory, at once.
	Recall(asset graph.Asset) (finding directory.Finding, known bool)
	// Find finds it out, or gives up when ctx ends.
	Find(ctx context.Context, asset graph.Asset) directory.Finding
}

// Attribution finds persons of events: an [attribution.Attributor].
type Attribution interface {
	// Search says how an event of a dataset is looked up; stored, that the dispatcher
	// has stored it.
	Search(dataset string, e *event.Event, stored bool) attribution.Search
	// Look looks all of them up at once.
	Look(ctx context.Context, searches []attribution.Search) []attribution.Match
	// Dataset is that of the account that an event refers to; "" if there is none.
	Dataset(e *event.Event) string
	// NextLook returns how long an event waits until it is looked up again that has
	// waited for so long, and reports whether that is over.
	NextLook(waited time.Duration) (wait time.Duration, over bool)
	// Policy is what becomes of events for which no webhook has come.
	Policy() attribution.Policy
}

// Deps are the things a dispatcher works with.
type Deps struct {
	JetStream jetstream.JetStream
	Rights    *rights.Watch // what NATS denies to the connection; nil if unknown
	Claims    claims.Store
	Graph     Sender
	Tokens    Tokens
	Secrets   redact.Secrets // kept out of what is stored and sent; may be nil
	Directory Directory      // nil: only the configured accounts are known
	// Attribution finds the persons of events that do not name them; nil: no events
	// are looked up.
	Attribution Attribution
	// Now is the wall clock; nil is [time.Now].
	Now    func() time.Time
	Log    *zap.Logger
	Tracer trace.Tracer
	// Sampled is asked before a span is made; nil samples everything.
	Sampled traces.Sampler
	Meter   metric.Meter
}

func (d *Deps) wallClock() func() time.Time {
	if d.Now == nil {
		return time.Now
	}
	return d.Now
}
