package dispatcher

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// A code that is not known to speak of an event may be a setting that refuses
// everything. So no more than a handful of events die of such a code, as long as
// nothing of the dataset is accepted in between. See docs/delivery.md.

// handful is how many events die of a doubtful code before there is doubt, and
// how many others are then tried.
const handful = 8

// doubts are what is known of datasets of which Meta has refused events alone,
// with codes that are doubtful.
type doubts struct {
	mu     sync.Mutex
	states map[string]*doubt // by dataset
}

type doubt struct {
	accepted    time.Time               // when Meta last accepted an event
	refused     map[graph.ErrorCode]int // events that were refused alone since
	lastRefused time.Time
}

func newDoubts() *doubts { return &doubts{states: make(map[string]*doubt)} }

// accepted notes that Meta takes a dataset's events.
func (d *doubts) accepted(dataset string, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	state := d.state(dataset)
	state.accepted = later(state.accepted, now)
	clear(state.refused)
}

// hear notes when Meta last accepted an event of a dataset by what another worker
// says. Refusals that this worker has seen since count on.
func (d *doubts) hear(dataset string, at time.Time) {
	if at.IsZero() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	state := d.state(dataset)
	state.accepted = later(state.accepted, at)
	if at.After(state.lastRefused) {
		clear(state.refused)
	}
}

// acceptedAt is when Meta last accepted an event of a dataset, as far as is known.
func (d *doubts) acceptedAt(dataset string) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if state := d.states[dataset]; state != nil {
		return state.accepted
	}
	return time.Time{}
}

// refused notes that an event was refused alone, and reports whether that is
// the event's fault: it is one of a handful, or Meta has taken others since it
// was refused alone before. inDoubt reports whether the handful is full.
func (d *doubts) refused(dataset string, code graph.ErrorCode, before, now time.Time) (blamed, inDoubt bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	state := d.state(dataset)
	if !before.IsZero() && state.accepted.After(before) {
		return true, false
	}
	if state.refused == nil {
		state.refused = make(map[graph.ErrorCode]int)
	}
	state.refused[code]++
	state.lastRefused = now
	return state.refused[code] <= handful, state.refused[code] >= handful
}

// exist reports whether so many of a dataset's events have been refused alone
// that it may not be their fault.
func (d *doubts) exist(dataset string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	state := d.states[dataset]
	if state == nil {
		return false
	}
	for _, events := range state.refused {
		if events >= handful {
			return true
		}
	}
	return false
}

// state returns what is kept of a dataset, and forgets another when there are
// too many: that may cost another handful.
func (d *doubts) state(dataset string) *doubt {
	if state := d.states[dataset]; state != nil {
		return state
	}
	if len(d.states) >= maxTroubles {
		for other := range d.states {
			delete(d.states, other)
			break
		}
	}
	state := &doubt{}
	d.states[dataset] = state
	return state
}

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
	blamed, inDoubt := s.doubts.refused(s.lane.dataset, code, e.history.refusedAlone, now)
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
		case s.doubts.exist(s.lane.dataset):
			s.log.Warn("so many events have been refused alone, and none accepted, that it is no event's fault; the dataset's events wait",
				zap.String("dataset", s.lane.dataset), zap.String("reason", found.refusal.Reason()))
			s.hold(append(refused, untried...), found.refusal)
		default:
			for _, e := range refused { // before one was accepted: it may have been a setting
				s.send([]*entry{e})
			}
			s.send(untried)
		}
	}
}

// tryFew sends a few events alone, until one is accepted. It returns those that
// were not tried, and those that were refused alone.
func (s *shipment) tryFew(found *suspicion) (untried, refused []*entry) {
	untried, refused = found.untried, found.refused
	chosen := spread(len(untried), handful)
	few := make([]*entry, len(chosen))
	for i, at := range chosen {
		few[i] = untried[at]
	}
	untried = without(untried, few)
	for i, e := range few {
		if s.trouble != nil || !s.doubts.exist(s.lane.dataset) {
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

// spread chooses up to most of n places: the last, the first, and others evenly
// between them.
func spread(n, most int) (places []int) {
	if n <= 0 {
		return nil
	}
	if most = min(n, most); most == 1 {
		return []int{n - 1}
	}
	places = append(places, n-1)
	for i := range most - 1 {
		places = append(places, i*(n-1)/(most-1))
	}
	return places
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
