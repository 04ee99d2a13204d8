package dispatcher

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// meters are what the dispatcher counts. The books balance, per dataset:
// received = the sum of settled over all outcomes + in hand.
type meters struct {
	receivedEvents metric.Int64Counter
	settledEvents  metric.Int64Counter
	inHand         metric.Int64UpDownCounter
	maybe          metric.Int64Counter
	removedMembers metric.Int64Counter
	removedSecrets metric.Int64Counter
	requests       metric.Int64Counter
	requestTime    metric.Float64Histogram
	batchEvents    metric.Int64Histogram
	latency        metric.Float64Histogram
	recalled       metric.Int64Counter
	usagePercent   metric.Float64Gauge
}

func newMeters(meter metric.Meter) (*meters, error) {
	var m meters
	var errs [12]error
	m.receivedEvents, errs[0] = meter.Int64Counter("capi.events.received",
		metric.WithDescription("Events taken in hand, repeated deliveries included"), metric.WithUnit("{event}"))
	m.settledEvents, errs[1] = meter.Int64Counter("capi.events.settled",
		metric.WithDescription("Events that have left the dispatcher's hands, by outcome"), metric.WithUnit("{event}"))
	m.inHand, errs[2] = meter.Int64UpDownCounter("capi.events.in_hand",
		metric.WithDescription("Events in hand"), metric.WithUnit("{event}"))
	m.maybe, errs[3] = meter.Int64Counter("capi.events.maybe_sent",
		metric.WithDescription("Times that nobody could tell whether Meta has received an event"), metric.WithUnit("{event}"))
	m.requests, errs[4] = meter.Int64Counter("capi.requests",
		metric.WithDescription("Requests to Meta, by verdict"), metric.WithUnit("{request}"))
	m.requestTime, errs[5] = meter.Float64Histogram("capi.request.duration",
		metric.WithDescription("Time from the beginning of a request to Meta to its verdict"), metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30))
	m.batchEvents, errs[6] = meter.Int64Histogram("capi.request.events",
		metric.WithDescription("Events in a request to Meta"), metric.WithUnit("{event}"),
		metric.WithExplicitBucketBoundaries(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000))
	m.latency, errs[7] = meter.Float64Histogram("capi.event.latency",
		metric.WithDescription("Time from an event's storage in NATS to its acceptance by Meta"), metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400, 604800))
	m.recalled, errs[8] = meter.Int64Counter("capi.events.recalled",
		metric.WithDescription("Parked events called back before their time, because their dataset has recovered"), metric.WithUnit("{event}"))
	m.usagePercent, errs[9] = meter.Float64Gauge("capi.usage",
		metric.WithDescription("How much of a rate limit of Meta's is used up, in percent, by limit: dataset or app"))
	m.removedMembers, errs[10] = meter.Int64Counter("capi.members.removed",
		metric.WithDescription("Members taken out of events, because Meta would refuse them"), metric.WithUnit("{member}"))
	m.removedSecrets, errs[11] = meter.Int64Counter("capi.secrets.removed",
		metric.WithDescription("Access tokens and other credentials taken out of messages"), metric.WithUnit("{secret}"))
	return &m, errors.Join(errs[:]...)
}

func byDataset(dataset string, more ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributes(append(more, attribute.String("dataset", dataset))...)
}

func (m *meters) received(e *entry) {
	at := byDataset(e.lane.dataset)
	m.receivedEvents.Add(context.Background(), 1, at)
	m.inHand.Add(context.Background(), 1, at)
	for _, pointer := range e.event.Removed {
		m.removedMembers.Add(context.Background(), 1, byDataset(e.lane.dataset, attribute.String("member", pointer)))
	}
}

// undocumented stands for the names of members that Meta does not document: they
// are whatever producers make up.
const undocumented = "/undocumented"

// withheld counts what a message held that is not passed on: credentials, and
// members beside its events. They count for the dataset of its first event.
func (m *meters) withheld(first *entry, secrets, members int) {
	if secrets > 0 {
		m.removedSecrets.Add(context.Background(), int64(secrets), byDataset(first.lane.dataset))
	}
	if members > 0 {
		m.removedMembers.Add(context.Background(), int64(members),
			byDataset(first.lane.dataset, attribute.String("member", undocumented)))
	}
}

func (m *meters) settled(e *entry, o outcome) {
	ctx := context.Background()
	m.settledEvents.Add(ctx, 1, byDataset(e.lane.dataset,
		attribute.String("outcome", o.String()), attribute.String("reason", string(e.reason))))
	m.inHand.Add(ctx, -1, byDataset(e.lane.dataset))
	if o == accepted {
		m.latency.Record(ctx, time.Since(e.history.firstSeen).Seconds(), byDataset(e.lane.dataset))
	}
}

func (m *meters) maybeSent(entries []*entry) {
	if len(entries) > 0 {
		m.maybe.Add(context.Background(), int64(len(entries)), byDataset(entries[0].lane.dataset))
	}
}

func (m *meters) posted(ctx context.Context, dataset string, events int, answer *graph.Answer) {
	verdict := attribute.Stringer("verdict", answer.Verdict)
	m.requests.Add(ctx, 1, byDataset(dataset, verdict))
	m.requestTime.Record(ctx, answer.Took.Seconds(), metric.WithAttributes(verdict))
	m.batchEvents.Record(ctx, int64(events))
}

func (m *meters) calledBack(dataset string, events int) {
	if events > 0 {
		m.recalled.Add(context.Background(), int64(events), byDataset(dataset))
	}
}

// usage notes what an answer says of Meta's limits, if it does.
func (m *meters) usage(dataset string, usage *graph.Usage) {
	for limit, percent := range map[string]float64{"dataset": usage.Percent, "app": usage.App} {
		if percent > 0 {
			m.usagePercent.Record(context.Background(), percent, byDataset(dataset, attribute.String("limit", limit)))
		}
	}
}

// observe adds what is looked at rather than counted.
func (d *Dispatcher) observe(meter metric.Meter) error {
	gauge := func(name, description string, read func() int64) error {
		_, err := meter.Int64ObservableGauge(name, metric.WithDescription(description),
			metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
				o.Observe(read())
				return nil
			}))
		return err
	}
	_, err := meter.Int64ObservableGauge("capi.condition",
		metric.WithDescription("1 where a condition for events to flow holds, else 0"),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for _, c := range d.Conditions() {
				o.Observe(boolToInt(c.OK), metric.WithAttributes(attribute.String("condition", c.Name)))
			}
			return nil
		}))
	return errors.Join(err,
		gauge("capi.datasets.paused", "Datasets and apps that are not sent for: paused, throttled or failing", func() int64 { return int64(d.breaker.count()) }),
		gauge("capi.messages.in_hand", "Messages in hand", func() int64 { return int64(d.leases.count()) }),
		gauge("capi.batches.waiting", "Events waiting for a request", func() int64 { return int64(d.batches.Stats().Waiting) }),
		gauge("capi.senders.busy", "Senders in use", func() int64 { return int64(d.batches.Stats().Busy) }),
		gauge("capi.confirms.pending", "Events sent that Redis does not know of yet", func() int64 { return int64(d.confirms.count()) }),
	)
}

func boolToInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
