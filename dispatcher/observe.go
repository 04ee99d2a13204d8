package dispatcher

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/inflight"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/serverclock"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/traces"
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

func (m *meters) received(events ...*inFlight) {
	for group := range inflight.Runs(events, ofOneDataset) {
		series := m.datasets.Of(group[0].lane.dataset)
		m.Received(series, len(group))
		for _, e := range group {
			e.series = series
			m.changed(e)
		}
	}
}

func ofOneDataset(a, b *inFlight) bool { return a.lane.dataset == b.lane.dataset }

// changed counts what has been done to an event that has come in.
func (m *meters) changed(e *inFlight) {
	m.Removed(e.series, e.event.Removed)
	m.Filled(e.series, e.event.Filled)
	m.Repaired(e.series, e.event.Repaired)
	if !e.message.source.parked() { // else it has been counted
		m.warned(e)
	}
}

// warned counts what there is to warn about an event. Whether it is late is the
// producer's matter: what counts is when it was published.
func (m *meters) warned(e *inFlight) {
	for i := range e.event.Warnings {
		m.Warned(e.series, e.event.Warnings[i].Code)
	}
	if late := e.event.CheckPromptness(e.history.firstSeen); late != nil {
		m.Warned(e.series, late.Code)
	}
}

// withheld counts what a message held that is not passed on: credentials, and
// members beside its events. They count for the dataset of its first event.
func (m *meters) withheld(first *inFlight, secrets, members int) {
	if secrets > 0 || members > 0 {
		m.Withheld(m.datasets.Of(first.lane.dataset), secrets, members)
	}
}

func (m *meters) settled(events []*inFlight, f fate) {
	same := func(a, b *inFlight) bool { return a.series == b.series && a.reason == b.reason }
	for group := range inflight.Runs(events, same) {
		m.Settled(group[0].series, f.String(), string(group[0].reason), len(group))
	}
	if f == accepted {
		m.accepted(events)
	}
}

func (m *meters) accepted(events []*inFlight) {
	now := m.clock.Now()
	for group := range inflight.Runs(events, ofOneDataset) {
		m.datasets.Accepted(group[0].lane.dataset)
		for _, e := range group {
			m.Took(now.Sub(e.history.since))
		}
	}
}

func (m *meters) maybeSent(events []*inFlight) {
	for _, e := range events {
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
		gauge("capi.messages.in_flight", "Messages in flight", func() int64 { return int64(d.leases.Count()) }),
		gauge("capi.batches.waiting", "Events waiting for a request",
			func() int64 { return int64(d.batches.Stats().Waiting) }),
		gauge("capi.senders.busy", "Senders in use", func() int64 { return int64(d.batches.Stats().Busy) }),
		gauge("capi.parked.overdue", "Parked events that NATS should have brought back, and has not, at the last look", func() int64 { return int64(d.sweeper.Overdue()) }),
		gauge("capi.confirms.pending", "Events sent that Redis does not know of yet",
			func() int64 { return int64(d.claims.Pending()) }),
	)
}

func boolToInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// What becomes of an event is in its trace: see package traces. Here it is said
// what of an event that package is told.

// spans make the spans of events, by the stream that they come from.
type spans struct {
	*traces.Tracer

	events, parked *traces.Source
}

func newSpans(cfg *Config, deps *Deps) spans {
	t := traces.New(traces.Config{
		Tracer: deps.Tracer, Sampled: deps.Sampled, Endpoint: deps.Graph.Endpoint,
		EventNames: cfg.Rules.MessagingEvents, Private: cfg.Rules.HashPersonalData,
	})
	return spans{
		Tracer: t,
		events: t.Source(cfg.Streams.Stream, cfg.Streams.Consumer),
		parked: t.Source(cfg.Streams.ParkedStream, cfg.Streams.Consumer),
	}
}

func (s *spans) of(role streams.Role) *traces.Source {
	if role == streams.Parked {
		return s.parked
	}
	return s.events
}

// startSpan begins the span of an event in flight.
func (a *admitter) startSpan(e *inFlight) {
	m := e.message
	e.trace = m.source.traces.Start(a.workCtx,
		traces.Message{Headers: m.Header, Subject: a.showableSubject(m), Sequence: m.sequence},
		traces.About{Dataset: e.lane.dataset, ID: e.event.ID, Name: e.event.Name, Channel: string(e.event.Channel)})
	if !e.trace.Sampled() {
		return
	}
	if !m.trace.Sampled() {
		m.trace = e.trace
	}
	if m.source.parked() && !m.replayed() {
		e.trace.Wake(string(e.history.parkedFor), !e.history.recalled.IsZero())
	}
	e.trace.Repair(e.event.Repaired)
}

// showableSubject is a message's subject if it ends in a dataset: a producer may
// have put anything there.
func (a *admitter) showableSubject(m *message) string {
	if word := a.subjectWord(m); graph.IsID(word) || word == admission.Auto {
		return m.Subject
	}
	return ""
}

// traceHeld notes which events wait for others: those of them that do not lead, in
// the same order.
func traceHeld(all, leading []*inFlight) {
	if len(leading) == len(all) {
		return
	}
	for _, e := range all {
		if len(leading) > 0 && leading[0] == e {
			leading = leading[1:]
			continue
		}
		e.trace.Hold()
	}
}

// traceDeaths notes which events have become dead letters, or are letters that wait.
func traceDeaths(letters []*publication, stored bool) {
	for _, p := range letters {
		var fault string
		if faults := p.For.letter.Faults; len(faults) > 0 {
			fault = string(faults[0].Code)
		}
		for _, e := range p.For.events {
			if stored {
				e.trace.Bury(string(e.reason), fault, p.Number)
			} else {
				e.trace.Park("undelivered")
			}
		}
	}
}

// endSpan ends the span of an event with what has become of it.
func endSpan(e *inFlight, f fate) {
	e.trace.End(traces.Ending{
		Outcome: f.String(), Reason: string(e.reason), Failed: f == deadLettered || e.reason != "" || f == abandoned,
		Attempts: e.history.attempts, MaybeSent: e.history.maybeSent,
	})
}

// injectTrace writes the event's trace into the headers of its next message. What
// is in its baggage nobody knows, so it does not go where personal data may not.
func (r *run) injectTrace(e *inFlight, into nats.Header) {
	e.trace.Inject(into, e.message.Header, !r.cfg.Rules.HashPersonalData)
}

// sampled returns those of events that have a span.
func sampled(events []*inFlight) (spans []traces.Event) {
	for _, e := range events {
		if e.trace.Sampled() {
			spans = append(spans, e.trace)
		}
	}
	return spans
}
