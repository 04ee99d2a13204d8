package dispatcher

import (
	"time"

	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/pacing"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// fullPause is the shortest for which nothing is sent when a limit is full: the
// limits are those of a rolling hour.
const fullPause = time.Minute

// noteUsage learns from an answer how near Meta's limits are, and stops before
// they are reached.
func (s *shipment) noteUsage(answer *graph.Answer) {
	if answer.Status == 0 {
		return // nobody has said anything
	}
	usage := &answer.Usage
	s.meters.usage(s.lane.dataset, usage)
	for _, of := range []struct {
		limit   pacing.Limit
		percent float64
		app     bool
	}{
		{pacing.Dataset(s.lane.dataset), usage.Percent, false},
		{pacing.App(s.token), usage.App, true},
	} {
		if s.pacer.Note(of.limit, of.percent) {
			s.logUsage(of.limit, of.percent)
		}
		if of.percent >= pacing.Full {
			s.breaker.Pause(s.lane.dataset, s.token, of.app, max(usage.Regain, fullPause))
		}
	}
}

func (s *shipment) logUsage(limit pacing.Limit, percent float64) {
	fields := []zap.Field{zap.String("dataset", s.lane.dataset), zap.Stringer("limit", limit), zap.Float64("percent", percent)}
	if percent >= pacing.High {
		s.log.Warn("a limit of Meta's is near; requests are sent more slowly", fields...)
		return
	}
	s.log.Info("no limit of Meta's is near any more", fields...)
}

// mustWait waits for the request's place in the row, and sets events aside if
// the dataset or its app must not be sent for by now.
func (s *shipment) mustWait(entries []*entry) bool {
	if wait := s.pacer.Reserve(s.lane.dataset, s.deps.Tokens.Fingerprint(s.lane.dataset)); wait > 0 {
		if s.batch.Rest(s.taking, wait) != nil {
			s.giveBack(entries)
			return true
		}
	}
	until := s.breaker.TurnAway(s.lane.dataset, s.permit)
	if until.IsZero() {
		return false
	}
	s.setAsideFor(entries, parked.Throttled, s.forLong(until))
	return true
}
