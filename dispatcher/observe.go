package dispatcher

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/metric"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/inflight"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
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
	oldest   *parked.Oldest // of the events that wait
}

func newMeters(cfg *Config, deps *Deps, clock *serverclock.Clock) (*meters, error) {
	counted, err := metrics.NewMeters(deps.Meter)
	return &meters{
		Meters: counted, clock: clock, oldest: parked.NewOldest(parked.Waits{Backoff: cfg.Delivery.Park}),
		datasets: metrics.NewDatasets(cfg.Metrics.Datasets, cfg.DatasetIDs(), deps.Tokens.Owns),
	}, err
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
	if e.sought.lacks() {
		m.Sought(e.series, e.sought.found)
	}
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

func (m *meters) settled(events []*inFlight, o outcome) {
	same := func(a, b *inFlight) bool { return a.series == b.series && a.reason == b.reason }
	for group := range inflight.Runs(events, same) {
		m.Settled(group[0].series, o.fate.String(), o.reasonOf(group[0]), len(group))
	}
	switch o.fate {
	case accepted:
		m.accepted(events)
	case postponed:
		m.postponed(events, o.reason)
	case deadLettered:
		m.deadLettered(events)
	case duplicate, skipped, returned, abandoned: // another delivery is counted, or none
	}
}

func (m *meters) accepted(events []*inFlight) {
	now := m.clock.Now()
	var tally metrics.Tally
	for group := range inflight.Runs(events, ofOneDataset) {
		m.datasets.Accepted(group[0].lane.dataset)
		for _, e := range group {
			m.Took(e.trace.Exemplar(), now.Sub(e.history.since), now.Sub(e.event.Time))
			tally.Note(e.timeliness(now))
		}
	}
	m.Timely(&tally)
}

// postponed counts events as late that go on waiting although the hour is over.
func (m *meters) postponed(events []*inFlight, reason parked.Reason) {
	var tally metrics.Tally
	for group := range inflight.Runs(events, ofOneDataset) {
		kind := parked.Kind{Reason: reason, Known: m.datasets.Known(group[0].lane.dataset)}
		for _, e := range group {
			if e.reason != "" {
				tally.Note(m.lost(e))
				continue
			}
			if e.late {
				tally.Note(metrics.Late)
			}
			m.oldest.Note(parked.Ages{Kind: kind, Since: e.history.firstSeen, Expires: e.event.ExpiresAt()})
		}
	}
	m.Timely(&tally)
}

func (m *meters) deadLettered(events []*inFlight) {
	var tally metrics.Tally
	for _, e := range events {
		tally.Note(m.lost(e))
	}
	m.Timely(&tally)
}

// lost counts an event that is lost as a dead letter. What was a letter already has
// been counted.
func (m *meters) lost(e *inFlight) metrics.Timeliness {
	if e.letter != nil || !m.Lost(e.reason, &e.event, e.history.firstSeen) {
		return ""
	}
	if result := e.timeliness(m.clock.Now()); result != metrics.InTime {
		return result
	}
	return metrics.Late
}

// timeliness is how an event fares that ends now; "" where that has been counted, as
// for one that was a dead letter.
func (e *inFlight) timeliness(now time.Time) metrics.Timeliness {
	if e.history.counted || e.history.since.After(e.history.firstSeen) {
		return ""
	}
	return metrics.TimelinessOf(&e.event, e.history.firstSeen, now)
}

func (m *meters) maybeSent(events []*inFlight) {
	same := func(a, b *inFlight) bool { return a.series == b.series }
	for group := range inflight.Runs(events, same) {
		m.MaybeSent(group[0].series, len(group))
	}
}

func (m *meters) bisected(dataset string) { m.Bisected(m.datasets.Of(dataset)) }

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
	stats := d.batches.Stats
	return errors.Join(
		metrics.ObserveConditions(meter, d.flow),
		metrics.ObserveTroubles(meter, d.troubles, d.meters.datasets.Known),
		metrics.ObserveOldest(meter, d.meters.oldest, d.clock),
		metrics.ObserveTokens(meter, d.deps.Tokens.Changed),
		metrics.Observe(meter, "capi.messages.in_flight", "{message}", "Messages in flight", d.leases.Count),
		metrics.Observe(meter, "capi.batches.waiting", "{event}", "Events waiting for a request",
			func() int { return stats().Waiting }),
		metrics.Observe(meter, "capi.senders.busy", "{sender}", "Senders in use", func() int { return stats().Busy }),
		metrics.Observe(meter, "capi.parked.overdue", "{event}",
			"Parked events that NATS should have brought back, and has not, at the last look", d.sweeper.Overdue),
		metrics.Observe(meter, "capi.confirms.pending", "{event}", "Events sent that Redis does not know of yet",
			d.claims.Pending),
	)
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
	e.trace = m.source.traces.Start(
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
	if e.sought.lacks() {
		e.trace.Seek(e.sought.found)
	}
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
