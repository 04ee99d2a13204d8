package dispatcher

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/serverclock"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// meters count what happens to events. An event is counted for the dataset that
// metrics named when it was received, so that the books balance.
type meters struct {
	*metrics.Meters

	datasets *metrics.Datasets
	clock    *serverclock.Clock
}

func newMeters(cfg *Config, deps *Deps, clock *serverclock.Clock) (*meters, error) {
	counted, err := metrics.NewMeters(deps.Meter)
	return &meters{counted, metrics.NewDatasets(cfg.Metrics.Datasets, cfg.DatasetIDs(), deps.Tokens.Owns), clock}, err
}

func (m *meters) received(e *entry) {
	e.series = m.datasets.Of(e.lane.dataset)
	m.Received(e.series, e.event.Removed)
	m.Filled(e.series, e.event.Filled)
	m.Repaired(e.series, e.event.Repaired)
	if !e.message.source.parked() { // else it has been counted
		m.warned(e)
	}
}

// warned counts what there is to warn about an event. Whether it is late is the
// producer's matter: what counts is when it was published.
func (m *meters) warned(e *entry) {
	for i := range e.event.Warnings {
		m.Warned(e.series, e.event.Warnings[i].Code)
	}
	if late := e.event.CheckPromptness(e.history.firstSeen); late != nil {
		m.Warned(e.series, late.Code)
	}
}

// withheld counts what a message held that is not passed on: credentials, and
// members beside its events. They count for the dataset of its first event.
func (m *meters) withheld(first *entry, secrets, members int) {
	if secrets > 0 || members > 0 {
		m.Withheld(m.datasets.Of(first.lane.dataset), secrets, members)
	}
}

func (m *meters) settled(e *entry, o outcome) {
	m.Settled(e.series, o.String(), string(e.reason))
	if o == accepted {
		m.Took(m.clock.Now().Sub(e.history.since))
		m.datasets.Accepted(e.lane.dataset)
	}
}

func (m *meters) maybeSent(entries []*entry) {
	for _, e := range entries {
		m.MaybeSent(e.series)
	}
}

func (m *meters) posted(ctx context.Context, dataset string, events int, answer *graph.Answer) {
	m.Posted(ctx, m.datasets.Of(dataset), events, answer)
}

func (m *meters) calledBack(dataset string, events int) {
	m.CalledBack(m.datasets.Of(dataset), events)
}

func (m *meters) usage(dataset string, usage *graph.Usage) {
	m.Usage(m.datasets.Of(dataset), usage)
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
			for _, c := range d.flow() {
				o.Observe(boolToInt(c.OK), metric.WithAttributes(attribute.String("condition", c.Name)))
			}
			return nil
		}))
	_, err2 := meter.Float64ObservableGauge("capi.clock.skew", metric.WithUnit("s"),
		metric.WithDescription("By how much the NATS server's clock is ahead of the worker's"),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			o.Observe(d.clock.Skew().Seconds())
			return nil
		}))
	return errors.Join(err, err2,
		metrics.ObserveTroubles(meter, d.troubles, d.meters.datasets.Known),
		gauge("capi.messages.in_hand", "Messages in hand", func() int64 { return int64(d.leases.Count()) }),
		gauge("capi.batches.waiting", "Events waiting for a request", func() int64 { return int64(d.batches.Stats().Waiting) }),
		gauge("capi.senders.busy", "Senders in use", func() int64 { return int64(d.batches.Stats().Busy) }),
		gauge("capi.parked.overdue", "Parked events that NATS should have brought back, and has not, at the last look", func() int64 { return int64(d.sweeper.Overdue()) }),
		gauge("capi.confirms.pending", "Events sent that Redis does not know of yet", func() int64 { return int64(d.claims.Pending()) }),
	)
}

func boolToInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
