package dispatcher

import (
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// What waits for a dataset in trouble waits for long, so that it costs nothing.
// Somebody has to find out when the trouble is over: when its time is up, or
// the token has been replaced, one waiting event is called back and tried. If
// it gets through, the others follow.

// trials returns the datasets of which an event is to be tried now, and those
// that an app's trouble is no concern of any more, because they have a token of
// another app.
func (b *breaker) trials() (try, free []string) {
	for key, datasets := range b.waiting() {
		for _, dataset := range datasets {
			token := b.tokens.Fingerprint(dataset) // reads a file, so without the lock
			switch {
			case key != dataset && b.releasedFrom(key, dataset, token):
				free = append(free, dataset)
			case b.shouldTry(key, token):
				try = append(try, dataset)
			}
		}
	}
	return try, free
}

// waiting lists who is in trouble, with the datasets that wait for that.
func (b *breaker) waiting() map[string][]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	waiting := make(map[string][]string, len(b.states))
	for key, state := range b.states {
		if graph.IsID(key) {
			waiting[key] = []string{key}
		}
		for dataset := range state.turnedAway {
			waiting[key] = append(waiting[key], dataset)
		}
	}
	return waiting
}

// shouldTry tells that it is time to try an event. It may come to another
// worker, which may not have seen a new token yet, so it is asked for again
// from time to time.
func (b *breaker) shouldTry(key, token string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	state, now := b.states[key], time.Now()
	if state == nil {
		return false
	}
	if graph.IsID(key) && token != state.token {
		state.token, state.until = token, now
		state.called, state.callAt = 0, now
	}
	if state.probing || now.Before(state.until) || now.Before(state.callAt) {
		return false
	}
	state.callAt = now.Add(min(5*time.Second<<min(state.called, 10), b.pauses.Max))
	state.called++
	return true
}

// releasedFrom tells that a dataset uses the token of another app now.
func (b *breaker) releasedFrom(app, dataset, token string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	state := b.states[app]
	if state == nil || appOf(token) == app {
		return false
	}
	delete(state.turnedAway, dataset)
	return true
}

// reachable ends the wait of those that failed while Meta as a whole was out of
// reach, since it was lost: each is tried with one event, a moment after the
// other.
func (b *breaker) reachable(lost time.Time) {
	const unnoticed, soonest, longest = time.Minute, 50 * time.Millisecond, 10 * time.Second
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	step := min(soonest, longest/time.Duration(max(1, len(b.states))))
	at := now
	for _, state := range b.states {
		if state.reason != metrics.Failing || state.since.Before(lost.Add(-unnoticed)) || state.until.Before(now) {
			continue
		}
		at = at.Add(step)
		state.until, state.callAt = at, at
	}
}
