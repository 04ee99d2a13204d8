package dispatcher

import "time"

// Whoever is paused for its token is not asked again before its time, so
// somebody has to look whether the token has been replaced.

// replaced looks for new tokens. It returns the datasets that should try theirs
// with one event, and those whose app is another one now and that need no trial.
func (b *breaker) replaced() (try, free []string) {
	for key, datasets := range b.waitingForTokens() {
		for _, dataset := range datasets {
			token := b.tokens.Fingerprint(dataset) // reads a file, so without the lock
			switch {
			case key != dataset && b.releasedFrom(key, dataset, token):
				free = append(free, dataset)
			case key == dataset && b.shouldTry(dataset, token):
				try = append(try, dataset)
			}
		}
	}
	return try, free
}

// waitingForTokens lists who waits, with the datasets that wait for it.
func (b *breaker) waitingForTokens() map[string][]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	waiting := make(map[string][]string, len(b.states))
	for key, state := range b.states {
		if validDataset(key) {
			waiting[key] = []string{key}
		}
		for dataset := range state.turnedAway {
			waiting[key] = append(waiting[key], dataset)
		}
	}
	return waiting
}

// shouldTry tells that a dataset's token is a new one, and that it is time to
// call an event back to try it. The event may come to another worker, which may
// not have seen the new token yet, so it is asked for again from time to time.
func (b *breaker) shouldTry(dataset, token string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	state, now := b.states[dataset], time.Now()
	if state == nil {
		return false
	}
	if token != state.token {
		state.token, state.until = token, now
		state.replaced, state.called, state.callAt = true, 0, now
	}
	if !state.replaced || now.Before(state.callAt) {
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
