package dispatcher

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

const (
	// usageHigh is the percentage of a limit from which on requests are spaced.
	usageHigh = 75
	// usageFull is the percentage from which on nothing is sent for a while.
	usageFull = 95
	// widestSpace is between requests just below usageFull. Wider would keep
	// events in hand for too long, and a thousand of them fit into a request.
	widestSpace = shortWait
	// fullPause is the shortest while: the limits are those of a rolling hour.
	fullPause = time.Minute
)

// quota slows requests down before Meta refuses them, by what its answers say of
// its limits: those of the dataset (its business, its account), and those of the
// app, which slow every dataset of the app. Meta counts requests and time, not
// events, so fewer and fuller requests are all it takes.
type quota struct {
	mu   sync.Mutex
	used map[string]float64   // of limits that are near, by dataset or app
	next map[string]time.Time // when the next request of a dataset may go
}

func newQuota() *quota {
	return &quota{used: make(map[string]float64), next: make(map[string]time.Time)}
}

// note remembers how much of a limit is used up. It tells whether that is news:
// that the limit has come near, or that it is not near any more.
func (q *quota) note(key string, percent float64) (news bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, was := q.used[key]
	if percent >= usageHigh && (was || len(q.used) < maxTroubles) {
		q.used[key] = percent
		return !was
	}
	delete(q.used, key)
	return was
}

// space takes a place in the row of a dataset's requests, and tells how long it
// is until then.
func (q *quota) space(dataset, app string) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	space := spaceAt(max(q.used[dataset], q.used[app]))
	if space == 0 {
		delete(q.next, dataset)
		return 0
	}
	now := time.Now()
	at := later(now, q.next[dataset])
	q.next[dataset] = at.Add(space)
	return at.Sub(now)
}

// spaceAt is the time from one request to the next: none below usageHigh, and
// from there on evenly more.
func spaceAt(percent float64) time.Duration {
	part := (percent - usageHigh) / (usageFull - usageHigh)
	return time.Duration(min(max(part, 0), 1) * float64(widestSpace))
}

// noteUsage learns from an answer how near Meta's limits are, and stops before
// they are reached.
func (s *shipment) noteUsage(answer *graph.Answer) {
	if answer.Status == 0 {
		return // nobody has said anything
	}
	usage := &answer.Usage
	s.meters.usage(s.lane.dataset, usage)
	for _, limit := range []struct {
		key, name string
		percent   float64
		app       bool
	}{
		{s.lane.dataset, "dataset", usage.Percent, false},
		{appOf(s.token), "app", usage.App, true},
	} {
		if s.quota.note(limit.key, limit.percent) {
			s.logUsage(limit.name, limit.percent)
		}
		if limit.percent >= usageFull {
			s.breaker.pause(s.lane.dataset, s.token, limit.app, max(usage.Regain, fullPause))
		}
	}
}

func (s *shipment) logUsage(limit string, percent float64) {
	fields := []zap.Field{zap.String("dataset", s.lane.dataset), zap.String("limit", limit), zap.Float64("percent", percent)}
	if percent >= usageHigh {
		s.log.Warn("a limit of Meta's is near; requests are sent more slowly", fields...)
		return
	}
	s.log.Info("no limit of Meta's is near any more", fields...)
}

// mustWait waits for the request's place in the row, and sets events aside if
// the dataset or its app must not be sent for by now.
func (s *shipment) mustWait(entries []*entry) bool {
	if wait := s.quota.space(s.lane.dataset, appOf(s.deps.Tokens.Fingerprint(s.lane.dataset))); wait > 0 {
		if s.batch.Rest(s.taking, wait) != nil {
			s.giveBack(entries)
			return true
		}
	}
	until := s.breaker.shut(s.lane.dataset, s.pass)
	if until.IsZero() {
		return false
	}
	s.setAsideFor(entries, parked.Throttled, s.forLong(until))
	return true
}
