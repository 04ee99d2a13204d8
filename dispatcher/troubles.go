package dispatcher

import (
	"strings"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// troubleLingers is for how long a trouble whose time is up counts as one, if
// nobody gets through: so long it takes to try again. After that, no event has
// waited for it here; another worker may have seen the end of it.
const troubleLingers = 3 * time.Minute

// reasonOf is why events wait after such a verdict.
func reasonOf(v graph.Verdict) metrics.Reason {
	switch v {
	case graph.Paused:
		return metrics.Paused
	case graph.Throttled:
		return metrics.Throttled
	case graph.Refused:
		return metrics.Refused
	default:
		return metrics.Failing
	}
}

// blame notes why there is trouble, and when it began. It has to be called
// before the trouble is prolonged.
func (t *trouble) blame(reason metrics.Reason, now time.Time) {
	if !t.lasts(now) {
		t.began = now
	}
	t.reason = reason
}

// lasts reports whether somebody may still be waiting because of the trouble.
func (t *trouble) lasts(now time.Time) bool {
	return t.probing || now.Before(t.until.Add(troubleLingers))
}

// troubles lists the datasets whose events wait.
func (d *Dispatcher) troubles() []metrics.Trouble {
	now := time.Now()
	return append(d.breaker.troubles(now), d.accounts.troubles(now)...)
}

// troubles lists the datasets that are in trouble, or wait for their app.
func (b *breaker) troubles(now time.Time) (all []metrics.Trouble) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, state := range b.states {
		if !state.lasts(now) {
			continue
		}
		if graph.IsID(key) {
			all = append(all, metrics.Trouble{Dataset: key, Reason: state.reason, Began: state.began})
		}
		for dataset := range state.turnedAway {
			all = append(all, metrics.Trouble{Dataset: dataset, Reason: state.reason, Began: state.began})
		}
	}
	return all
}

// troubles lists the datasets with accounts that are not linked.
func (a *accounts) troubles(now time.Time) (all []metrics.Trouble) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, state := range a.states {
		if dataset, _, _ := strings.Cut(key, "/"); state.lasts(now) {
			all = append(all, metrics.Trouble{Dataset: dataset, Reason: metrics.Unlinked, Began: state.began})
		}
	}
	return all
}
