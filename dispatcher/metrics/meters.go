package metrics

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// setsPerDataset is more than any instrument has for one dataset. The most are
// those of capi.events.settled: an outcome and a reason each.
const setsPerDataset = 100

// MaxSets is how many sets of attributes an instrument can have where that many
// datasets have a label. OpenTelemetry has to be told: what is beyond its own
// limit of 2000 is counted in one overflow series, without its attributes.
func MaxSets(datasets int) int { return (datasets + 1) * setsPerDataset }

// Meters are what is counted. The books balance, per dataset:
// received = the sum of settled over all outcomes + in flight.
type Meters struct {
	received metric.Int64Counter
	settled  metric.Int64Counter
	outcomes metric.Int64Counter
	inFlight metric.Int64UpDownCounter
	maybe    metric.Int64Counter
	removed  metric.Int64Counter
	repaired metric.Int64Counter
	warned   metric.Int64Counter
	secrets  metric.Int64Counter
	recalled metric.Int64Counter
	filled   metric.Int64Counter
	foreign  metric.Int64Counter
	latency  metric.Float64Histogram

	requests    metric.Int64Counter
	requestTime metric.Float64Histogram
	batchEvents metric.Int64Histogram
	usage       metric.Float64Gauge

	all *endings // without a dataset
}

// NewMeters returns meters whose instruments are the given meter's.
func NewMeters(meter metric.Meter) (*Meters, error) {
	m, in := &Meters{all: newEndings(metric.WithAttributes)}, &instruments{meter: meter}
	m.forEvents(in)
	m.forRequests(in)
	return m, in.err
}

func (m *Meters) forEvents(in *instruments) {
	m.received = in.counter("capi.events.received", "{event}", "Events taken in flight, repeated deliveries included")
	m.settled = in.counter("capi.events.settled", "{event}",
		"Events that have left the dispatcher's hands, by dataset and outcome")
	m.outcomes = in.counter("capi.outcomes", "{event}", "Events that have left the dispatcher's hands, of all datasets, by outcome")
	m.inFlight = made(in, in.meter.Int64UpDownCounter)("capi.events.in_flight",
		metric.WithDescription("Events in flight"), metric.WithUnit("{event}"))
	m.maybe = in.counter("capi.events.maybe_sent", "{event}",
		"Times that nobody could tell whether Meta has received an event")
	m.removed = in.counter("capi.members.removed", "{member}",
		"Members taken out of events, because Meta would refuse them")
	m.recalled = in.counter("capi.events.recalled", "{event}", "Parked events called back before their time, because their dataset has recovered")
	m.latency = made(in, in.meter.Float64Histogram)("capi.event.latency",
		metric.WithDescription("Time from an event's storage in NATS to its acceptance by Meta"), metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400,
			604800))
	m.secrets = in.counter("capi.secrets.removed", "{secret}", "Access tokens and other credentials taken out of messages")
	m.repaired = in.counter("capi.members.repaired", "{member}",
		"Members of events brought into the form that Meta takes, or filled in")
	m.warned = in.counter("capi.events.warned", "{event}", "Events of which Meta may make less than it could, by what is wrong with them")
	m.filled = in.counter("capi.accounts.filled", "{event}", "Events that named no account, and were given the dataset's only one of the channel")
	m.foreign = in.counter("capi.accounts.foreign", "{event}",
		"Events whose account belongs to another dataset, by what was done")
}

func (m *Meters) forRequests(in *instruments) {
	m.requests = in.counter("capi.requests", "{request}", "Requests to Meta, by verdict")
	m.requestTime = made(in, in.meter.Float64Histogram)("capi.request.duration",
		metric.WithDescription("Time from the beginning of a request to Meta to its verdict"), metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30))
	m.batchEvents = made(in, in.meter.Int64Histogram)("capi.request.events",
		metric.WithDescription("Events in a request to Meta"), metric.WithUnit("{event}"),
		metric.WithExplicitBucketBoundaries(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000))
	m.usage = made(in, in.meter.Float64Gauge)("capi.usage",
		metric.WithDescription("How much of a rate limit of Meta's is used up, in percent, by limit: dataset or app"))
}

// Received counts events that have been taken in flight.
func (m *Meters) Received(of *Dataset, events int) {
	ctx := context.Background()
	m.received.Add(ctx, int64(events), of.alone...)
	m.inFlight.Add(ctx, int64(events), of.alone...)
}

// Removed counts members that were taken out of an event.
func (m *Meters) Removed(of *Dataset, removed []string) {
	for _, pointer := range removed {
		m.removed.Add(context.Background(), 1, of.with(attribute.String("member", pointer)))
	}
}

// Repaired counts members of an event that were brought into another form.
func (m *Meters) Repaired(of *Dataset, repaired []string) {
	for _, pointer := range repaired {
		m.repaired.Add(context.Background(), 1, of.with(attribute.String("member", pointer)))
	}
}

// Warned counts an event that there is a warning about.
func (m *Meters) Warned(of *Dataset, code event.Code) {
	m.warned.Add(context.Background(), 1, of.with(attribute.String("code", string(code))))
}

// undocumented stands for the names of members that Meta does not document: they
// are whatever producers make up.
const undocumented = "/undocumented"

// Withheld counts what a message held that is not passed on: credentials, and
// undocumented members beside its events.
func (m *Meters) Withheld(of *Dataset, secrets, members int) {
	ctx := context.Background()
	if secrets > 0 {
		m.secrets.Add(ctx, int64(secrets), of.alone...)
	}
	if members > 0 {
		m.removed.Add(ctx, int64(members), of.with(attribute.String("member", undocumented)))
	}
}

// Filled counts an event into which an account was filled; "" is none.
func (m *Meters) Filled(of *Dataset, pointer string) {
	if pointer != "" {
		m.filled.Add(context.Background(), 1, of.with(attribute.String("member", pointer)))
	}
}

// ForeignAccount counts an event whose account belongs to another dataset.
func (m *Meters) ForeignAccount(of *Dataset, action string) {
	m.foreign.Add(context.Background(), 1, of.with(attribute.String("action", action)))
}

// Settled counts events out that were counted in for the same dataset.
func (m *Meters) Settled(of *Dataset, outcome, reason string, events int) {
	ctx, end, n := context.Background(), ending{outcome, reason}, int64(events)
	m.settled.Add(ctx, n, of.endings.of(end)...)
	m.outcomes.Add(ctx, n, m.all.of(end)...)
	m.inFlight.Add(ctx, -n, of.alone...)
}

// Took notes how long it took until Meta accepted an event.
func (m *Meters) Took(latency time.Duration) {
	m.latency.Record(context.Background(), latency.Seconds())
}

// MaybeSent counts an event of which it cannot be known whether Meta has it.
func (m *Meters) MaybeSent(of *Dataset) { m.maybe.Add(context.Background(), 1, of.alone...) }

// CalledBack counts parked events that come back before their time.
func (m *Meters) CalledBack(of *Dataset, events int) {
	if events > 0 {
		m.recalled.Add(context.Background(), int64(events), of.alone...)
	}
}

// Posted counts a request to Meta.
func (m *Meters) Posted(ctx context.Context, of *Dataset, events int, answer *graph.Answer) {
	verdict := attribute.Stringer("verdict", answer.Verdict)
	m.requests.Add(ctx, 1, of.with(verdict))
	m.requestTime.Record(ctx, answer.Took.Seconds(), metric.WithAttributes(verdict))
	m.batchEvents.Record(ctx, int64(events))
}

// Usage notes what an answer says of Meta's limits, if it does. The datasets
// that share a label have no gauge: it would show the one that came last.
func (m *Meters) Usage(of *Dataset, usage *graph.Usage) {
	if of.label == Other {
		return
	}
	for limit, percent := range map[string]float64{"dataset": usage.Percent, "app": usage.App} {
		if percent > 0 {
			m.usage.Record(context.Background(), percent, of.with(attribute.String("limit", limit)))
		}
	}
}
