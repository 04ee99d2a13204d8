package dispatcher

import (
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

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
func (s *shipment) tooEarly(e *entry, refusal graph.Answer) bool {
	return refusal.Error != nil && refusal.Error.Code == 100 && refusal.Error.Subcode == inFuture &&
		e.history.early < earlyTimes && s.clock.Now().Sub(e.event.Time).Abs() <= admission.MaxSkew
}

// waitForMeta parks an event until Meta's clock may have caught up.
func (s *shipment) waitForMeta(e *entry) {
	if !s.stopping() {
		e.history.early++
	}
	s.setAsideFor([]*entry{e}, parked.NotYet, time.Now().Add(earlyWait))
}
