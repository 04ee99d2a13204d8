package dispatcher

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/pacing"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/traces"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// post makes one attempt, and one wide line in the log. resend is which repetition
// of the request it is.
func (d *delivery) post(events []*inFlight, resend int) graph.Answer {
	ctx, cancel := context.WithDeadline(d.workCtx, d.latestBegin(events).Add(d.cfg.RequestTimeout))
	defer cancel()
	ctx, span := d.requests.Begin(ctx, traces.Post{Dataset: d.lane.dataset, Events: len(events), Resend: resend},
		sampled(events))
	request := graph.Request{Dataset: d.lane.dataset, Envelope: d.lane.envelope, Events: make([][]byte, len(events))}
	for i, e := range events {
		request.Events[i] = e.event.Raw
		// Had it been lost on its way, it would be lost there again.
		request.Fresh = request.Fresh || e.history.maybeSent > 0
		e.history.attempts++
	}
	d.token, d.posted = d.deps.Tokens.Fingerprint(d.lane.dataset), time.Now()
	answer := d.deps.Graph.Send(ctx, request)
	d.requests.End(&answer)
	d.meters.posted(ctx, d.lane.dataset, len(events), &answer)
	d.logPost(d.lane.dataset, span, events, &answer)
	d.noteReach(&answer)
	d.noteUsage(&answer)
	return answer
}

// requestLog is the log, for lines about a request: they lead to its span.
func requestLog(log *zap.Logger, of traces.Request) *zap.Logger { return log.With(of.Fields()...) }

func (s *sender) logPost(dataset string, span traces.Request, events []*inFlight, answer *graph.Answer) {
	fields := []zap.Field{
		zap.String("dataset", dataset),
		zap.Int("events", len(events)),
		zap.Stringer("verdict", answer.Verdict),
		zap.Int("status", answer.Status),
		zap.Duration("took", answer.Took),
		zap.String("fbtrace_id", answer.TraceID),
	}
	fields = append(fields, span.Fields()...)
	if answer.Verdict == graph.Accepted {
		if len(answer.Messages) > 0 {
			fields = append(fields, zap.Int("messages", len(answer.Messages))) // they may quote events
		}
		s.log.Info("events sent", fields...)
		return
	}
	if e := answer.Error; e != nil {
		fields = append(fields, zap.Int("code", e.Code), zap.Int("subcode", e.Subcode))
	}
	s.log.Warn("events not accepted", append(fields, zap.String("reason", answer.Reason()))...)
}

// unreachableAfter is how many connections in a row have to fail before Meta
// counts as out of reach for all datasets.
const unreachableAfter = 3

// noteReach keeps track of whether connections to Meta come about at all.
// Without any, no dataset's events can go anywhere, and none are pulled.
func (s *sender) noteReach(answer *graph.Answer) {
	switch {
	case answer.Unreachable:
		if s.unreached.Add(1) >= unreachableAfter && s.gates.graph.Shut(answer.Reason()) {
			s.log.Warn("Meta cannot be reached; events wait in the stream", zap.String("reason", answer.Reason()))
		}
	case answer.Status != 0 || answer.Verdict == graph.Unknown:
		s.unreached.Store(0)
		lost := s.gates.graph.Condition("").Since
		if s.gates.graph.Open() {
			s.log.Info("Meta can be reached again")
			s.breaker.EndOutage(lost)
		}
	}
}

// fullPause is the shortest for which nothing is sent when a limit is full: the
// limits are those of a rolling hour.
const fullPause = time.Minute

// noteUsage learns from an answer how near Meta's limits are, and stops before
// they are reached.
func (d *delivery) noteUsage(answer *graph.Answer) {
	if answer.Status == 0 {
		return // no answer has come
	}
	usage := &answer.Usage
	d.meters.usage(d.lane.dataset, usage)
	for _, of := range []struct {
		limit   pacing.Limit
		percent float64
		app     bool
	}{
		{pacing.Dataset(d.lane.dataset), usage.Percent, false},
		{pacing.App(d.token), usage.App, true},
	} {
		if d.pacer.Note(of.limit, of.percent) {
			logUsage(requestLog(d.log, d.requests.Last()), d.lane.dataset, of.limit, of.percent)
		}
		if of.percent >= pacing.Full {
			d.breaker.Pause(d.lane.dataset, d.token, of.app, max(usage.Regain, fullPause))
		}
	}
}

func logUsage(log *zap.Logger, dataset string, limit pacing.Limit, percent float64) {
	fields := []zap.Field{zap.String("dataset", dataset), zap.Stringer("limit", limit), zap.Float64("percent", percent)}
	if percent >= pacing.High {
		log.Warn("a limit of Meta's is near; requests are sent more slowly", fields...)
		return
	}
	log.Info("no limit of Meta's is near any more", fields...)
}

// awaitTurn waits for the request's place in the row of its dataset and app. The
// error is that the dispatcher is to stop.
func (d *delivery) awaitTurn() error {
	wait := d.pacer.Reserve(d.lane.dataset, d.deps.Tokens.Fingerprint(d.lane.dataset))
	if wait <= 0 {
		return nil
	}
	return d.batch.Rest(d.intakeCtx, wait)
}

// send carries claimed events to their outcomes.
func (d *delivery) send(events []*inFlight) {
	for len(events) > 0 {
		if d.trouble != nil {
			d.parkAndTrip(events, *d.trouble)
			return
		}
		if d.suspicion != nil {
			d.suspicion.untried = append(d.suspicion.untried, events...)
			return
		}
		part, rest := firstPart(events, d.cautious)
		part, answer := d.try(part)
		switch {
		case len(part) == 0: // dropped while waiting
		case answer.Verdict == graph.Accepted:
			d.accept(part)
		case blamesEvents(answer):
			d.bisect(part, answer)
		case answer.Verdict == graph.Unknown:
			rest = append(d.handleUnknown(part, answer), rest...)
		default:
			d.parkAndTrip(part, answer)
		}
		events = rest
	}
}

// firstPart is what goes into the next request.
func firstPart(events []*inFlight, alone bool) (part, rest []*inFlight) {
	if alone {
		return events[:1:1], events[1:]
	}
	return events, nil
}

// blamesEvents reports whether some of a request's events are at fault, and the
// others are not.
func blamesEvents(answer graph.Answer) bool {
	return answer.Verdict == graph.Refused || answer.PerAsset
}

// accept remembers events as sent, and settles them.
func (d *delivery) accept(events []*inFlight) {
	d.cautious = false
	d.doubts.RecordAcceptance(d.lane.dataset, d.clock.Now())
	d.wakeOthers(events)
	d.settler.settle(events, outcome{fate: accepted})
}

// try posts until there is a verdict that waiting would not change, or until
// the time for waiting is up. It returns the events that were posted last:
// others have been let go.
func (d *delivery) try(events []*inFlight) ([]*inFlight, graph.Answer) {
	for resend := 0; ; resend++ {
		events = d.prepare(events)
		if len(events) == 0 {
			return nil, graph.Answer{}
		}
		if d.claimStale(events) {
			continue // something has held us up
		}
		answer := d.post(events, resend)
		if answer.Verdict == graph.Accepted || blamesEvents(answer) {
			d.backoff.Reset() // Meta has judged the events; what comes next begins anew
		}
		wait, again := d.patience(answer)
		if !again {
			return events, answer
		}
		if answer.Verdict == graph.Throttled {
			d.breaker.Pause(d.lane.dataset, d.token, answer.AppWide(), wait)
		}
		if d.batch.Rest(d.intakeCtx, wait) != nil {
			return events, answer
		}
	}
}

// prepare waits for the request's turn, and returns the events that may be sent
// then; the others are settled.
func (d *delivery) prepare(events []*inFlight) []*inFlight {
	if d.lacksTime() || d.awaitTurn() != nil {
		d.settler.settle(events, toReturn(0))
		return nil
	}
	if until := d.breaker.TurnAway(d.lane.dataset, d.permit); !until.IsZero() {
		d.postpone(events, parked.Throttled, d.forLong(until))
		return nil
	}
	return d.dropOvertaken(events)
}

// lacksTime reports whether the dispatcher is stopping and a request might not end
// before the drain deadline.
func (d *delivery) lacksTime() bool { return d.stopping() && d.timeLeft() <= d.cfg.RequestTimeout }

// dropOvertaken takes out what must not be sent any more: events whose lease
// has lapsed, so that another delivery may be in flight, events that Meta would
// refuse for their age, and events of accounts that have turned out not to be
// linked.
func (d *delivery) dropOvertaken(events []*inFlight) []*inFlight {
	events, late := inTime(d.settler.dropLapsed(events), d.clock.Now())
	d.settler.expire(d.renewClaims(late))
	return d.renewClaims(d.enterAccounts(events))
}

// patience reports whether waiting helps, and for how long: our own backoff, or
// longer if Meta says so.
func (d *delivery) patience(answer graph.Answer) (wait time.Duration, again bool) {
	if answer.Verdict != graph.Retry && answer.Verdict != graph.Throttled || d.stopping() {
		return 0, false
	}
	next := d.backoff.NextBackOff()
	wait = max(next, askedDelay(answer))
	left := d.cfg.Delivery.Retry.Budget - d.backoff.GetElapsedTime()
	return wait, next != backoff.Stop && wait <= left
}

// askedDelay is how long Meta wants us to wait.
func askedDelay(answer graph.Answer) time.Duration {
	if answer.Verdict != graph.Throttled {
		return answer.RetryAfter
	}
	return max(answer.RetryAfter, answer.Usage.Regain)
}

// handleUnknown deals with events that Meta may have or not. What may be sent again is
// returned; the next request then carries one event alone.
func (d *delivery) handleUnknown(events []*inFlight, answer graph.Answer) (again []*inFlight) {
	for _, e := range events {
		e.history.maybeSent++
		e.answer = &answer
	}
	d.meters.maybeSent(events)
	if d.pastDeadline() {
		// We cut the request off ourselves. The claims stay, so that the
		// next worker knows that the events may have been sent.
		d.settler.settle(events, toReturn(0))
		return nil
	}
	again, buried := d.byUnknownPolicy(events)
	d.settler.settle(buried, outcome{fate: deadLettered})
	d.cautious = true
	wait := d.backoff.NextBackOff()
	if wait == backoff.Stop || d.batch.Rest(d.intakeCtx, max(wait, answer.RetryAfter)) != nil {
		d.parkAndTrip(again, answer)
		return nil
	}
	return again
}

// parkAndTrip parks events that may not be sent for now, and keeps others of the
// dataset from trying the same.
func (d *delivery) parkAndTrip(events []*inFlight, answer graph.Answer) {
	if d.stopping() {
		d.settler.settle(events, toReturn(0))
		return
	}
	d.trouble = &answer
	for _, e := range events {
		e.answer = &answer
	}
	until, news := d.breaker.RecordFailure(breaker.Failure{
		Dataset: d.lane.dataset, Token: d.token, AppWide: answer.AppWide(), Reason: reasonOf(answer.Verdict),
		Wait: askedDelay(answer),
	})
	if news {
		requestLog(d.log, d.requests.Last()).Warn("the dataset's events wait", zap.String("dataset", d.lane.dataset),
			zap.Bool("app_wide", answer.AppWide()), zap.Time("until", until), zap.String("reason", answer.Reason()))
	}
	d.settler.settle(events, toPark(reasonToPark(answer.Verdict), d.forLong(until)))
}

// wakeOthers calls back what waits for a dataset once its events are accepted:
// when that ends a trouble of the dataset's; when the accepted event was parked
// itself, maybe by another worker; and at the dataset's first success, for a
// worker that has just begun knows of no troubles.
func (d *delivery) wakeOthers(events []*inFlight) {
	for _, dataset := range d.breaker.RecordSuccess(d.lane.dataset, d.token, d.posted) {
		d.log.Info("the dataset's events are sent again", zap.String("dataset", dataset))
		d.waker.Wake(parked.Group{Dataset: dataset})
	}
	whole, unlinked := parked.Group{Dataset: d.lane.dataset}, parked.Group{Dataset: d.lane.dataset, Unlinked: true}
	if !d.waker.EverAsked(whole) || anyParkedFor(events, whole) && !d.waker.AskedLately(whole) {
		d.waker.Wake(whole)
	}
	if d.noteLinked(events) || anyParkedFor(events, unlinked) && !d.waker.AskedLately(unlinked) {
		d.waker.Wake(unlinked)
	}
}

func anyParkedFor(events []*inFlight, group parked.Group) bool {
	for _, e := range events {
		if group.Covers(e.history.parkedFor) {
			return true
		}
	}
	return false
}
