package dispatcher

import (
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
)

// shortWait is a wait that is not worth the way through the parked stream.
const shortWait = 2 * time.Second

// enter keeps events of datasets and accounts in trouble from being tried:
// they are parked until it may be over. It returns those that may be sent.
func (s *shipment) enter(entries []*entry) []*entry {
	if len(entries) == 0 {
		return nil
	}
	patience := time.Now().Add(shortWait)
	news, accepted := latestNews(entries)
	s.doubts.Hear(s.lane.dataset, accepted)
	for {
		permit, until := s.breaker.Acquire(s.lane.dataset, news)
		if permit != nil {
			s.permit, s.cautious = permit, permit.Probes()
			return s.enterAccounts(entries)
		}
		if until.After(patience) {
			s.setAside(entries, until)
			return nil
		}
		if s.batch.Rest(s.taking, time.Until(until)) != nil {
			s.setAside(entries, until)
			return nil
		}
	}
}

// latestNews is when another worker last thought the dataset well, and when it
// had an event of it accepted, as far as its events tell.
func latestNews(entries []*entry) (recalled, accepted time.Time) {
	for _, e := range entries {
		recalled, accepted = later(recalled, e.history.recalled), later(accepted, e.history.accepted)
	}
	return recalled, accepted
}

// enterAccounts sets events aside whose account is not linked.
func (s *shipment) enterAccounts(entries []*entry) []*entry {
	free := entries[:0:0]
	for i, e := range entries {
		until := s.accounts.BlockedUntil(e.account(), e.history.recalled)
		switch {
		case until.IsZero() && len(free) == i: // the usual case costs nothing
			free = entries[: i+1 : i+1]
		case until.IsZero():
			free = append(free, e)
		default:
			s.waitForAccount(e, until)
		}
	}
	return free
}

// setAside parks events of a dataset in trouble without having tried them.
func (s *shipment) setAside(entries []*entry, until time.Time) {
	s.setAsideFor(entries, parked.Paused, s.forLong(until))
}

// forLong is when events come back by themselves whose dataset is in trouble: as
// late as may be, because they are called back as soon as one of them gets
// through (see package breaker). A hundred thousand that come back only to be parked
// again would take their time from others.
func (s *shipment) forLong(until time.Time) time.Time {
	return later(until, time.Now().Add(s.cfg.Delivery.Park.Max))
}

func (s *shipment) setAsideFor(entries []*entry, reason parked.Reason, until time.Time) {
	if s.stopping() {
		s.giveBack(entries)
		return
	}
	s.parkUntil(entries, reason, until)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
