package dispatcher

import (
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// A code that is not known to speak of an event may be a setting that refuses
// everything. So no more than a handful of events die of such a code, as long as
// nothing of the dataset is accepted in between. See docs/delivery.md.

// suspicion is what a shipment has come to doubt.
type suspicion struct {
	refusal graph.Answer
	refused []*entry // alone, and not dead-lettered
	untried []*entry
}

// doubtful settles an event that was refused alone with a doubtful code: it is
// dead-lettered if it is one of a handful, else it waits for the end of the doubt.
func (s *shipment) doubtful(e *entry, refusal graph.Answer) {
	code := graph.ErrorCode{Code: refusal.Error.Code, Subcode: refusal.Error.Subcode}
	now := s.clock.Now()
	blamed, inDoubt := s.doubts.RecordRefusal(s.lane.dataset, code, e.history.refusedAlone, now)
	if inDoubt && s.suspicion == nil {
		s.suspicion = &suspicion{refusal: refusal}
	}
	if blamed {
		e.dead(deadletter.Refused)
		s.bury([]*entry{e})
		return
	}
	e.history.refusedAlone = now
	s.suspicion.refused = append(s.suspicion.refused, e)
}

// resolve finds out whether it is the events' fault that they are refused: a
// few others are tried alone. If one is accepted, it is; else the dataset waits,
// and all that is left with it.
func (s *shipment) resolve() {
	for s.suspicion != nil {
		found := s.suspicion
		s.suspicion = nil
		untried, refused := s.tryFew(found)
		switch {
		case s.trouble != nil: // something else holds everything up
			s.hold(append(refused, untried...), *s.trouble)
		case s.doubts.Exist(s.lane.dataset):
			s.log.Warn("so many events have been refused alone, and none accepted, that it is no event's fault; the dataset's events wait",
				zap.String("dataset", s.lane.dataset), zap.String("reason", found.refusal.Reason()))
			s.hold(append(refused, untried...), found.refusal)
		default:
			for _, e := range refused {
				e.dead(deadletter.Refused)
			}
			s.bury(refused)
			s.send(untried)
		}
	}
}

// tryFew sends a few events alone, until one is accepted. It returns those that
// were not tried, and those that were refused alone.
func (s *shipment) tryFew(found *suspicion) (untried, refused []*entry) {
	untried, refused = found.untried, found.refused
	chosen := parked.Spread(len(untried), breaker.Handful)
	few := make([]*entry, len(chosen))
	for i, at := range chosen {
		few[i] = untried[at]
	}
	untried = without(untried, few)
	for i, e := range few {
		if s.trouble != nil || !s.doubts.Exist(s.lane.dataset) {
			return append(untried, few[i:]...), refused
		}
		s.send([]*entry{e})
		if s.suspicion != nil {
			untried = append(untried, s.suspicion.untried...)
			refused = append(refused, s.suspicion.refused...)
			s.suspicion = nil
		}
	}
	return untried, refused
}

// without returns the entries that are not among a few others.
func without(entries, few []*entry) (rest []*entry) {
	chosen := make(map[*entry]bool, len(few))
	for _, e := range few {
		chosen[e] = true
	}
	for _, e := range entries {
		if !chosen[e] {
			rest = append(rest, e)
		}
	}
	return rest
}
