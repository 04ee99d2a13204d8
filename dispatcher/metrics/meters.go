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
	People

	received metric.Int64Counter
	settled  metric.Int64Counter
	outcomes metric.Int64Counter
	last     metric.Int64Gauge
	inFlight metric.Int64UpDownCounter
	maybe    metric.Int64Counter
	maybeAll metric.Int64Counter
	timely   metric.Int64Counter
	lost     metric.Int64Counter
	removed  metric.Int64Counter
	repaired metric.Int64Counter
	warned   metric.Int64Counter
	secrets  metric.Int64Counter
	recalled metric.Int64Counter
	filled   metric.Int64Counter
	foreign  metric.Int64Counter
	lookups  metric.Int64Counter
	latency  metric.Float64Histogram
	age      metric.Float64Histogram

	requests    metric.Int64Counter
	bisected    metric.Int64Counter
	requestTime metric.Float64Histogram
	batchEvents metric.Int64Histogram
	requestSize metric.Int64Histogram
	claimTime   metric.Float64Histogram

	all    *endings // without a dataset
	closed *closed
	usages *usages
}

// NewMeters returns meters whose instruments are the given meter's. What has
// attributes from closed lists alone exists from now on, with zero.
func NewMeters(meter metric.Meter) (*Meters, error) {
	m := &Meters{all: newEndings(metric.WithAttributes), closed: newClosed(), usages: newUsages()}
	in := &instruments{meter: meter}
	m.forEvents(in)
	m.forTimes(in)
	m.forContents(in)
	m.forRequests(in)
	m.forUsage(in)
	if in.err == nil {
		m.begin()
	}
	return m, in.err
}

func (m *Meters) forEvents(in *instruments) {
	m.received = in.counter("capi.events.received", "{event}", "Events taken in flight, repeated deliveries included")
	m.settled = in.counter("capi.events.settled", "{event}",
		"Events that have left the dispatcher's hands, by dataset and outcome")
	m.outcomes = in.counter("capi.outcomes", "{event}",
		"Events that have left the dispatcher's hands, of all datasets, by outcome")
	m.last = made(in, in.meter.Int64Gauge)("capi.events.last_settled", metric.WithUnit("s"),
		metric.WithDescription("When an event of the dataset was last accepted, parked or dead-lettered, in seconds since 1970"))
	m.inFlight = made(in, in.meter.Int64UpDownCounter)("capi.events.in_flight",
		metric.WithDescription("Events in flight: received and not settled"), metric.WithUnit("{event}"))
	m.maybe = in.counter("capi.events.maybe_sent", "{event}",
		"Times that nobody could tell whether Meta has received an event")
	m.maybeAll = in.counter("capi.maybe_sent", "{event}",
		"Times that nobody could tell whether Meta has received an event, of all datasets")
	m.recalled = in.counter("capi.events.recalled", "{event}",
		"Parked events called back before their time, because their dataset has recovered")
	m.lookups = in.counter("capi.lookups", "{lookup}",
		"Questions for the dataset of an account that was not known at once, by result")
}

func (m *Meters) forTimes(in *instruments) {
	m.timely = in.counter("capi.events.timely", "{event}",
		"Events by whether Meta accepted them within an hour of their `event_time`, as it recommends")
	m.lost = in.counter("capi.events.lost", "{event}",
		"Events dead-lettered for no fault of their own, by reason: they waited for too long, or nobody knows whether Meta has them")
	m.latency = in.seconds("capi.event.latency", "Time from an event's storage in NATS to its acceptance by Meta",
		0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400, 604800)
	m.age = in.seconds("capi.event.age", "Time from an event's `event_time` to its acceptance by Meta, on the NATS server's clock",
		1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 21600, 86400, 259200, 604800)
	m.claimTime = in.seconds("capi.claims.duration", "Time of an exchange with Redis about the events of a batch, by operation",
		0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3)
}

func (m *Meters) forContents(in *instruments) {
	m.removed = in.counter("capi.members.removed", "{member}",
		"Members taken out of events, because Meta would refuse them or could not use them")
	m.repaired = in.counter("capi.members.repaired", "{member}",
		"Members of events brought into the form that Meta takes, or filled in")
	m.secrets = in.counter("capi.secrets.removed", "{secret}", "Access tokens and other credentials taken out of messages")
	m.warned = in.counter("capi.events.warned", "{event}",
		"Events of which Meta may make less than it could, by what is wrong with them")
	m.filled = in.counter("capi.accounts.filled", "{event}",
		"Events that named no account, and were given the dataset's only one of the channel")
	m.sought = in.counter("capi.attribution.lookups", "{event}",
		"Look-ups of events in chats that did not say whose they are, by what was found")
	m.foreign = in.counter("capi.accounts.foreign", "{event}",
		"Events whose account belongs to another dataset, by what was done")
}

func (m *Meters) forRequests(in *instruments) {
	m.requests = in.counter("capi.requests", "{request}", "Requests to Meta, by verdict")
	m.bisected = in.counter("capi.requests.bisected", "{request}",
		"Refused requests that were cut in two to find the event at fault")
	m.requestTime = in.seconds("capi.request.duration", "Time from the beginning of a request to Meta to its verdict",
		0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30)
	m.batchEvents = made(in, in.meter.Int64Histogram)("capi.request.events",
		metric.WithDescription("Events in a request to Meta"), metric.WithUnit("{event}"),
		metric.WithExplicitBucketBoundaries(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000))
	m.requestSize = made(in, in.meter.Int64Histogram)("capi.request.size",
		metric.WithDescription("Size of a request's body"), metric.WithUnit("By"),
		metric.WithExplicitBucketBoundaries(1e3, 2.5e3, 5e3, 1e4, 2.5e4, 5e4, 1e5, 2.5e5, 5e5, 1e6))
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
	series := of.endings.of(end)
	m.settled.Add(ctx, n, series.add...)
	if outcome == "accepted" || outcome == "parked" || outcome == "dead_lettered" {
		m.last.Record(ctx, time.Now().Unix(), series.record...)
	}
	m.outcomes.Add(ctx, n, m.all.of(end).add...)
	m.inFlight.Add(ctx, -n, of.alone...)
}

// Took notes how long it took until Meta accepted an event: since it was stored, and
// since it happened. The span in ctx, if it is sampled, is an exemplar.
func (m *Meters) Took(ctx context.Context, latency, age time.Duration) {
	m.latency.Record(ctx, latency.Seconds())
	m.age.Record(ctx, age.Seconds())
}

// MaybeSent counts events of which it cannot be known whether Meta has them.
func (m *Meters) MaybeSent(of *Dataset, events int) {
	m.maybe.Add(context.Background(), int64(events), of.alone...)
	m.maybeAll.Add(context.Background(), int64(events))
}

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
	if answer.Sent > 0 {
		m.requestSize.Record(ctx, int64(answer.Sent))
	}
}

// Bisected counts a refused request that is cut in two.
func (m *Meters) Bisected(of *Dataset) { m.bisected.Add(context.Background(), 1, of.alone...) }
