// Package pacing slows requests down before Meta refuses them, by what its answers
// say of its limits: those of a dataset (its business, its account), and those of
// an app, which slow every dataset of the app. Meta counts requests and time, not
// events, so fewer and fuller requests are all it takes.
//
// Requests are not spaced while less than [High] percent of a limit are used
// up, and from there on evenly more, up to [Widest] at [Full]. Above that the
// caller stops for a while: that is not done here.
package pacing

import (
	"maps"
	"sync"
	"time"
)

const (
	// High is the percentage of a limit from which on requests are spaced.
	High = 75
	// Full is the percentage from which on nothing should be sent for a while.
	Full = 95
	// Widest is the space between requests from Full on. Wider would keep events in
	// hand for too long, and a thousand of them fit into a request.
	Widest = 2 * time.Second
	// maxKept is how many limits are remembered, and how many rows before those
	// that are empty are forgotten: producers can make datasets up.
	maxKept = 10_000
)

// Limit is a limit of Meta's: a dataset's ([Dataset]), or an app's ([App]).
type Limit struct {
	isApp bool
	id    string
}

// Dataset is the limit of a dataset.
func Dataset(id string) Limit { return Limit{id: id} }

// App returns the limit of an app, which id identifies.
func App(id string) Limit { return Limit{isApp: true, id: id} }

// String returns what is limited: dataset or app.
func (l Limit) String() string {
	if l.isApp {
		return "app"
	}
	return "dataset"
}

// Pacer spaces requests. Create it with [New]. Its methods are safe for concurrent
// use.
type Pacer struct {
	mu   sync.Mutex
	used map[Limit]float64    // in percent, of limits that are near
	next map[string]time.Time // when the next request of a dataset may go
}

// New returns a pacer that knows of no limit that is near.
func New() *Pacer {
	return &Pacer{used: make(map[Limit]float64), next: make(map[string]time.Time)}
}

// Note remembers how much of a limit is used up. It returns whether that is news:
// that the limit has come near, or that it is not near any more.
func (p *Pacer) Note(limit Limit, percent float64) (news bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, was := p.used[limit]
	if percent >= High && (was || len(p.used) < maxKept) {
		p.used[limit] = percent
		return !was
	}
	delete(p.used, limit)
	return was
}

// Reserve takes a place in the row of a dataset's requests, and returns how long it
// is until then. Places are not given back.
func (p *Pacer) Reserve(dataset, app string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	space := spaceAt(max(p.used[Dataset(dataset)], p.used[App(app)]))
	if space == 0 {
		delete(p.next, dataset)
		return 0
	}
	now := time.Now()
	at := p.next[dataset]
	if at.Before(now) {
		at = now
	}
	p.next[dataset] = at.Add(space)
	p.forgetPast(now)
	return at.Sub(now)
}

// forgetPast forgets the rows that have come to their end, if there are many.
func (p *Pacer) forgetPast(now time.Time) {
	if len(p.next) > maxKept {
		maps.DeleteFunc(p.next, func(_ string, at time.Time) bool { return !at.After(now) })
	}
}

// spaceAt returns the time from one request to the next.
func spaceAt(percent float64) time.Duration {
	part := (percent - High) / (Full - High)
	return time.Duration(min(max(part, 0), 1) * float64(Widest))
}
