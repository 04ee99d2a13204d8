package dispatcher

import (
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// halve finds the culprits in a group that was refused as a whole, for Meta
// does not say which they are. Alone, an event is dead-lettered, or parked if
// only its account is to blame; its neighbours are delivered.
//
// k culprits among n events cost at most 2·k·log2(n)+1 requests in all: where
// the first half is accepted, a culprit is in the second, and nobody has to ask.
// A culprit that Meta names costs two requests. What it names is a hint: where
// the event is accepted, one request was in vain, and no hint is taken any more.
func (s *shipment) halve(group []*entry, refusal graph.Answer) {
	if len(group) == 1 {
		s.refuse(group[0], refusal)
		return
	}
	first, second := s.split(group, refusal)
	sent, answer := s.try(first)
	switch {
	case answer.Verdict == graph.Accepted:
		s.accept(sent)
		s.misled = s.misled || s.names(group, refusal) >= 0
		if len(sent) == len(first) && len(second) > 1 {
			s.halve(second, withoutName(refusal))
			return
		}
	case len(sent) > 0 && blamesEvents(answer):
		s.halve(sent, answer)
	case len(sent) > 0 && answer.Verdict == graph.Unknown:
		second = append(s.doubt(sent, answer), second...)
	case len(sent) > 0:
		s.hold(sent, answer) // and the second half with it: halving would teach us nothing
	}
	s.send(second)
}

// split cuts a group in two: at the event that Meta names, if it does, else in
// the middle.
func (s *shipment) split(group []*entry, refusal graph.Answer) (first, second []*entry) {
	if at := s.names(group, refusal); at >= 0 {
		second = append(append(make([]*entry, 0, len(group)-1), group[:at]...), group[at+1:]...)
		return group[at : at+1 : at+1], second
	}
	half := len(group) / 2
	return group[:half:half], group[half:]
}

// names is the place in a group of the event that Meta seems to name, or -1.
func (s *shipment) names(group []*entry, refusal graph.Answer) int {
	if s.misled || refusal.Error == nil || refusal.Error.Event >= len(group) {
		return -1
	}
	return refusal.Error.Event
}

// withoutName is a refusal of which only that is used that some event is at
// fault: the one it names was not, or is not in the group.
func withoutName(refusal graph.Answer) graph.Answer {
	if refusal.Error != nil {
		unnamed := *refusal.Error
		unnamed.Event = -1
		refusal.Error = &unnamed
	}
	return refusal
}

// refuse settles the one event that Meta would not take.
func (s *shipment) refuse(e *entry, refusal graph.Answer) {
	e.answer = &refusal
	if refusal.PerAsset {
		s.waitForAccount(e, s.accounts.RecordFailure(e.account(), askedDelay(refusal)))
		return
	}
	if s.tooEarly(e, refusal) {
		s.waitForMeta(e)
		return
	}
	if refusal.Doubtful() {
		s.doubtful(e, refusal)
		return
	}
	e.dead(deadletter.Refused)
	if refusal.Restricted {
		e.dead(deadletter.RestrictedRegion)
	}
	s.bury([]*entry{e})
}
