package dispatcher

import (
	"time"

	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// A code that is not known to speak of an event may be a setting that refuses
// everything. So no more than a handful of events die of such a code, as long as
// nothing of the dataset is accepted in between. See docs/delivery.md.

// suspicion is what a delivery has come to doubt.
type suspicion struct {
	refusal graph.Answer
	refused []*inFlight // alone, and not dead-lettered
	untried []*inFlight
}

// doubtful settles an event that was refused alone with a doubtful code: it is
// dead-lettered if it is one of a handful, else it waits for the end of the doubt.
func (d *delivery) doubtful(e *inFlight, refusal graph.Answer) {
	code := graph.ErrorCode{Code: refusal.Error.Code, Subcode: refusal.Error.Subcode}
	now := d.clock.Now()
	blamed, inDoubt := d.doubts.RecordRefusal(d.lane.dataset, code, e.history.refusedAlone, now)
	if inDoubt && d.suspicion == nil {
		d.suspicion = &suspicion{refusal: refusal}
	}
	if blamed {
		e.markDead(deadletter.Refused)
		d.settler.settle([]*inFlight{e}, outcome{fate: deadLettered})
		return
	}
	e.history.refusedAlone = now
	d.suspicion.refused = append(d.suspicion.refused, e)
}

// resolve finds out whether it is the events' fault that they are refused: a
// few others are tried alone. If one is accepted, it is; else the dataset waits,
// and all that is left with it.
func (d *delivery) resolve() {
	for d.suspicion != nil {
		found := d.suspicion
		d.suspicion = nil
		untried, refused := d.tryFew(found)
		switch {
		case d.trouble != nil: // something else holds everything up
			d.parkAndTrip(append(refused, untried...), *d.trouble)
		case d.doubts.Exist(d.lane.dataset):
			requestLog(d.log, d.requests.Last()).Warn("so many events have been refused alone, and none accepted, that it is no event's fault; the dataset's events wait",
				zap.String("dataset", d.lane.dataset), zap.String("reason", found.refusal.Reason()))
			d.parkAndTrip(append(refused, untried...), found.refusal)
		default:
			for _, e := range refused { // before one was accepted: it may have been a setting
				d.send([]*inFlight{e})
			}
			d.send(untried)
		}
	}
}

// tryFew sends a few events alone, until one is accepted. It returns those that
// were not tried, and those that were refused alone.
func (d *delivery) tryFew(found *suspicion) (untried, refused []*inFlight) {
	untried, refused = found.untried, found.refused
	chosen := parked.Spread(len(untried), breaker.Handful)
	few := make([]*inFlight, len(chosen))
	for i, at := range chosen {
		few[i] = untried[at]
	}
	untried = without(untried, few)
	for i, e := range few {
		if d.trouble != nil || !d.doubts.Exist(d.lane.dataset) {
			return append(untried, few[i:]...), refused
		}
		d.send([]*inFlight{e})
		if d.suspicion != nil {
			untried = append(untried, d.suspicion.untried...)
			refused = append(refused, d.suspicion.refused...)
			d.suspicion = nil
		}
	}
	return untried, refused
}

// without returns the events that are not among a few others.
func without(events, few []*inFlight) (rest []*inFlight) {
	chosen := make(map[*inFlight]bool, len(few))
	for _, e := range few {
		chosen[e] = true
	}
	for _, e := range events {
		if !chosen[e] {
			rest = append(rest, e)
		}
	}
	return rest
}

// An event of this moment may be in the future for Meta, whose clock is its own.
// That is no fault of the event's: a minute later it is not in the future any more.

const (
	// earlyWait is how long an event waits that is in the future for Meta alone.
	earlyWait = time.Minute
	// earlyTimes is how often it does. What is in the future for Meta then is a
	// mistake.
	earlyTimes = 3
	// inFuture is Meta's "Event Timestamp In The Future".
	inFuture = 2804004
)

// tooEarly reports whether an event that Meta takes for one of the future may
// only have to wait.
func (s *sender) tooEarly(e *inFlight, refusal graph.Answer) bool {
	return refusal.Error != nil && refusal.Error.Code == 100 && refusal.Error.Subcode == inFuture &&
		e.history.early < earlyTimes && s.clock.Now().Sub(e.event.Time).Abs() <= admission.MaxSkew
}

// waitForMeta parks an event until Meta's clock may have caught up.
func (d *delivery) waitForMeta(e *inFlight) {
	if !d.stopping() {
		e.history.early++
	}
	d.postpone([]*inFlight{e}, parked.NotYet, time.Now().Add(earlyWait))
}

// bisect finds the culprits in a group that was refused as a whole, for Meta
// does not say which they are. Alone, an event is dead-lettered, or parked if
// only its account is to blame; its neighbours are delivered.
//
// k culprits among n events cost at most 2·k·log2(n)+1 requests in all: where
// the first half is accepted, a culprit is in the second, and that half need
// not be sent as a whole. A culprit that Meta names costs two requests. What it
// names is a hint: where the event is accepted, one request was in vain, and no
// hint is taken any more.
func (d *delivery) bisect(group []*inFlight, refusal graph.Answer) {
	if len(group) == 1 {
		d.refuse(group[0], refusal)
		return
	}
	defer d.requests.Halve()()
	d.meters.bisected(d.lane.dataset)
	culprit := d.culprit(group, refusal)
	first, second := split(group, culprit)
	sent, answer := d.try(first)
	switch {
	case answer.Verdict == graph.Accepted:
		d.accept(sent)
		d.misled = d.misled || culprit >= 0
		if len(sent) == len(first) && len(second) > 1 {
			d.bisect(second, withoutCulprit(refusal))
			return
		}
	case len(sent) > 0 && blamesEvents(answer):
		d.bisect(sent, answer)
	case len(sent) > 0 && answer.Verdict == graph.Unknown:
		second = append(d.handleUnknown(sent, answer), second...)
	case len(sent) > 0:
		d.parkAndTrip(sent, answer) // and the second half with it: halving would teach us nothing
	}
	d.send(second)
}

// split cuts a group in two: the event at a place and the others, or, without such a
// place, in the middle.
func split(group []*inFlight, at int) (first, second []*inFlight) {
	if at >= 0 {
		second = append(append(make([]*inFlight, 0, len(group)-1), group[:at]...), group[at+1:]...)
		return group[at : at+1 : at+1], second
	}
	half := len(group) / 2
	return group[:half:half], group[half:]
}

// culprit is the place in a group of the event that Meta seems to name, or -1.
func (d *delivery) culprit(group []*inFlight, refusal graph.Answer) int {
	if d.misled || refusal.Error == nil || refusal.Error.Event >= len(group) {
		return -1
	}
	return refusal.Error.Event
}

// withoutCulprit is a refusal of which only that is used that some event is at
// fault: the one it names was not, or is not in the group.
func withoutCulprit(refusal graph.Answer) graph.Answer {
	if refusal.Error != nil {
		unnamed := *refusal.Error
		unnamed.Event = -1
		refusal.Error = &unnamed
	}
	return refusal
}

// refuse settles the one event that Meta would not take.
func (d *delivery) refuse(e *inFlight, refusal graph.Answer) {
	e.answer = &refusal
	if refusal.PerAsset {
		d.waitForAccount(e, d.accounts.RecordFailure(e.account(), askedDelay(refusal)))
		return
	}
	if d.tooEarly(e, refusal) {
		d.waitForMeta(e)
		return
	}
	if refusal.Doubtful() {
		d.doubtful(e, refusal)
		return
	}
	e.markDead(deadletter.Refused)
	if refusal.Restricted {
		e.markDead(deadletter.RestrictedRegion)
	}
	d.settler.settle([]*inFlight{e}, outcome{fate: deadLettered})
}

// Events wait for accounts that are not linked to their dataset, or whose
// dataset Meta does not name. That may be for ever, so the condition names
// them, and the wait may be bounded.

// waitForAccount sets an event aside until its account may be linked, unless it
// has waited for too long.
func (d *delivery) waitForAccount(e *inFlight, until time.Time) {
	waits, unlinked := d.settler.withinPatience([]*inFlight{e})
	d.settler.settle(unlinked, outcome{fate: deadLettered})
	d.postpone(waits, parked.Unlinked, until)
}

// noteLinked forgets the trouble of the accounts that events name, and returns whether
// there was any.
func (s *sender) noteLinked(events []*inFlight) (any bool) {
	for _, e := range events {
		any = s.accounts.RecordSuccess(e.account()) || any
	}
	return any
}

// unfound is what it knows an account by whose dataset is not known yet.
func unfound(asset graph.Asset) breaker.Account {
	switch asset.Kind {
	case graph.WhatsAppAccount:
		return breaker.Account{WhatsApp: asset.ID}
	case graph.InstagramUser:
		return breaker.Account{Instagram: asset.ID}
	default:
		return breaker.Account{Page: asset.ID}
	}
}
