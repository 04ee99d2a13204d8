package dispatcher

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/claims"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/inflight"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/pacing"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/traces"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// sender sends batches to Meta.
type sender struct {
	*run

	settler   *settler
	claims    *claims.Book
	breaker   *breaker.Breaker
	accounts  *breaker.Accounts
	doubts    *breaker.Doubts[graph.ErrorCode]
	pacer     *pacing.Pacer
	waker     *parked.Waker
	budget    *inflight.Budget
	backlog   *backlog
	gates     *gates
	unreached atomic.Int64 // connections in a row that did not come about
	moved     moved
}

// deliver carries one batch to its end: when it returns, every event in it is
// settled. Batches are delivered concurrently.
func (s *sender) deliver(batch *batcher.Batch[lane, *inFlight]) {
	d := s.newDelivery(batch)
	events := s.settler.dropLapsed(batch.Items)
	events, late := inTime(events, s.clock.Now())
	s.settler.expire(s.claim(late))
	events = d.enter(events)
	defer func() { d.permit.Release() }()
	d.send(s.claim(events))
	d.resolve()
}

// delivery is the delivery of one batch.
type delivery struct {
	*sender

	batch   *batcher.Batch[lane, *inFlight]
	lane    lane
	permit  *breaker.Permit // nil until there is one
	token   string          // fingerprint of the one that the last request was made with
	posted  time.Time       // when that was
	backoff *backoff.ExponentialBackOff
	// cautious sends the next event alone, to find out with the least harm
	// whether requests are answered again.
	cautious bool
	// trouble is what keeps the rest of the batch from being sent.
	trouble *graph.Answer
	// suspicion is that it may be no event's fault that they are refused.
	suspicion *suspicion
	// requests are the spans of its requests.
	requests traces.Requests
	// misled: Meta has named an event that it takes, so its hints count for
	// nothing in this batch.
	misled bool
}

func (s *sender) newDelivery(batch *batcher.Batch[lane, *inFlight]) *delivery {
	retry := s.cfg.Delivery.Retry
	d := &delivery{sender: s, batch: batch, lane: batch.Lane, requests: s.spans.Requests()}
	d.backoff = backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(retry.Initial),
		backoff.WithMaxInterval(retry.Max),
		backoff.WithMultiplier(2),
		// 0 would mean no bound at all.
		backoff.WithMaxElapsedTime(max(retry.Budget, 1)),
	)
	return d
}

// shortWait is a wait that is not worth the way through the parked stream.
const shortWait = 2 * time.Second

// enter keeps events of datasets and accounts in trouble from being tried:
// they are parked until it may be over. It returns those that may be sent.
func (d *delivery) enter(events []*inFlight) []*inFlight {
	if len(events) == 0 {
		return nil
	}
	patience := time.Now().Add(shortWait)
	news, accepted := latestNews(events)
	d.doubts.Hear(d.lane.dataset, accepted)
	for {
		permit, until := d.breaker.Acquire(d.lane.dataset, news)
		if permit != nil {
			d.permit, d.cautious = permit, permit.Probes()
			return d.enterAccounts(events)
		}
		if until.After(patience) {
			d.parkPaused(events, until)
			return nil
		}
		if d.batch.Rest(d.intakeCtx, time.Until(until)) != nil {
			d.parkPaused(events, until)
			return nil
		}
	}
}

// latestNews returns when another worker last thought the dataset well, and
// when it had an event of it accepted, as far as the headers of events say.
func latestNews(events []*inFlight) (recalled, accepted time.Time) {
	for _, e := range events {
		recalled, accepted = later(recalled, e.history.recalled), later(accepted, e.history.accepted)
	}
	return recalled, accepted
}

// enterAccounts sets events aside whose account is not linked.
func (d *delivery) enterAccounts(events []*inFlight) []*inFlight {
	free := events[:0:0]
	for i, e := range events {
		until := d.accounts.BlockedUntil(e.account(), e.history.recalled)
		switch {
		case until.IsZero() && len(free) == i: // the usual case costs nothing
			free = events[: i+1 : i+1]
		case until.IsZero():
			free = append(free, e)
		default:
			d.waitForAccount(e, until)
		}
	}
	return free
}

// parkPaused parks events of a dataset in trouble without having tried them.
func (d *delivery) parkPaused(events []*inFlight, until time.Time) {
	d.postpone(events, parked.Paused, d.forLong(until))
}

// forLong is when events come back by themselves whose dataset is in trouble: as
// late as may be, because they are called back as soon as one of them gets
// through (see package breaker). A hundred thousand that come back only to be parked
// again would take their time from others.
func (s *sender) forLong(until time.Time) time.Time {
	return later(until, time.Now().Add(s.cfg.Delivery.Park.Max))
}

func (d *delivery) postpone(events []*inFlight, reason parked.Reason, until time.Time) {
	if d.stopping() {
		d.settler.settle(events, toReturn(0))
		return
	}
	d.settler.settle(events, toPark(reason, until))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// A dataset that does not keep up, or whose backlog is in others' way, has its
// events parked, so that there is room for others. They are called back as fast
// as the dataset takes them (see wake.go), once there is room again.

// backlog is how many messages wait in the consumers, as of the last pull.
type backlog struct{ events, parked atomic.Int64 }

// behind returns how many messages wait for room; 0 while there is enough.
func (s *sender) behind() int {
	if !s.budget.Short() {
		return 0
	}
	return int(s.backlog.events.Load() + s.backlog.parked.Load())
}

// overflow parks events of a lane that has too many waiting.
func (s *sender) overflow(lane lane, events []*inFlight) {
	if events, datasets := s.moved.add(lane.dataset, len(events), time.Now()); events > 0 {
		s.log.Warn("events are parked to make room for others, and come back when their datasets take them",
			zap.Int("events", events), zap.Int("datasets", datasets), zap.String("dataset", lane.dataset))
	}
	s.settler.settle(s.settler.dropLapsed(events), toPark(parked.Congested, time.Time{}))
	s.waker.Wake(parked.Group{Dataset: lane.dataset})
}

// moved sums up what overflow moves aside, for one line in the log now and then.
type moved struct {
	mu       sync.Mutex
	next     time.Time
	events   int
	datasets map[string]struct{}
}

// add counts events, and returns what there has been since the last time that it
// did; nothing if that is not long ago.
func (m *moved) add(dataset string, n int, now time.Time) (events, datasets int) {
	const every = 10 * time.Second
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.datasets == nil {
		m.datasets = make(map[string]struct{})
	}
	m.events += n
	m.datasets[dataset] = struct{}{}
	if now.Before(m.next) {
		return 0, 0
	}
	events, datasets = m.events, len(m.datasets)
	m.events, m.next = 0, now.Add(every)
	clear(m.datasets)
	return events, datasets
}

// claim asks Redis for the right to send the events, and settles those that
// may not be sent. Without an answer from Redis nothing is sent: it waits.
func (s *sender) claim(events []*inFlight) (ours []*inFlight) {
	for len(events) > 0 {
		asked := time.Now()
		answers := newClaimAnswers(s.claims.Claim(s.workCtx, claimsOf(events),
			min(claims.Timeout, s.cfg.Streams.ToBegin())), events, asked)
		s.settler.settle(answers.sent, outcome{fate: duplicate})
		s.settler.settle(answers.held, toReturn(heldDelay))
		ours = append(ours, s.sendAgain(answers.maybeSent)...)
		ours = append(ours, answers.fresh...)
		if answers.err == nil {
			return ours
		}
		if s.claims.Await(s.intakeCtx) != nil {
			s.settler.settle(answers.unknown, toReturn(0))
			return ours
		}
		events = s.settler.dropLapsed(answers.unknown)
	}
	return ours
}

// renewClaims renews claims that are not young any more, so that the request
// ends before another delivery may claim the events: bisecting and waiting take
// time.
func (s *sender) renewClaims(events []*inFlight) []*inFlight {
	if len(events) == 0 || !s.claimStale(events) {
		return events
	}
	return s.claim(events)
}

// claimStale reports whether it is too late to begin a request on these claims.
func (s *sender) claimStale(events []*inFlight) bool { return time.Now().After(s.latestBegin(events)) }

// latestBegin is until when a request on these claims may be begun.
func (s *sender) latestBegin(events []*inFlight) time.Time {
	oldest := slices.MinFunc(events, func(a, b *inFlight) int { return a.claimedAt.Compare(b.claimedAt) })
	return oldest.claimedAt.Add(s.cfg.Streams.ToBegin())
}

// heldDelay is the delay of the nak for a message whose event another delivery
// has claimed: about a request's time.
const heldDelay = 2 * time.Second

// claimAnswers sorts events by what Redis says of them.
type claimAnswers struct {
	fresh, maybeSent, held, sent, unknown []*inFlight

	err error
}

func newClaimAnswers(results []dedupe.Result, events []*inFlight, asked time.Time) (a claimAnswers) {
	for i, e := range events {
		state, renewed := results[i].State, e.certain
		e.trace.Claim(state.String())
		e.claimed = state != dedupe.Held
		e.certain = e.claimed && state != dedupe.Failed
		switch {
		case state == dedupe.Fresh, state == dedupe.InheritedBefore && renewed:
			e.claimedAt = asked
			a.fresh = append(a.fresh, e)
		case state == dedupe.Inherited, state == dedupe.InheritedBefore:
			e.claimedAt = asked
			a.maybeSent = append(a.maybeSent, e)
		case state == dedupe.Held:
			a.held = append(a.held, e)
		case state == dedupe.Sent:
			a.sent = append(a.sent, e)
		default:
			a.unknown = append(a.unknown, e)
			a.err = results[i].Err
		}
	}
	return a
}

// sendAgain decides about events that a worker of before may have sent, and
// returns those that are to be sent.
func (s *sender) sendAgain(events []*inFlight) []*inFlight {
	for _, e := range events {
		e.history.maybeSent++
	}
	s.meters.maybeSent(events)
	again, buried := s.byUnknownPolicy(events)
	s.settler.settle(buried, outcome{fate: deadLettered})
	return again
}

// byUnknownPolicy splits events of unknown outcome: those to be sent again, and
// those for which that is ruled out.
func (s *sender) byUnknownPolicy(events []*inFlight) (again, buried []*inFlight) {
	for _, e := range events {
		if s.cfg.Delivery.OnUnknown == Resend && e.history.maybeSent < s.cfg.Delivery.MaxUnknown {
			again = append(again, e)
			continue
		}
		e.markDead(deadletter.UnknownOutcome)
		buried = append(buried, e)
	}
	return again, buried
}
