package breaker

import "time"

// Events that wait for a dataset in trouble are parked for long, so that they
// cost nothing. To find out whether the trouble is over, one of them is the
// probe: when the circuit's time is up, or the token has been replaced, one
// waiting event is called back and tried. If it is accepted, the others are
// called back, too.

// TakeProbes returns the datasets of which an event is to be tried now, and those
// that an app's trouble is no concern of any more, because they have a token of
// another app. It takes them: a dataset is returned again after a while, if nothing
// has been heard of it. One dataset is tried for an app.
func (b *Breaker) TakeProbes() (try, freed []string) {
	for k, datasets := range b.waiting() {
		for _, dataset := range datasets {
			token := b.tokens.Fingerprint(dataset) // reads a file, so without the lock
			if k.isApp && k != ofApp(token) {
				freed = b.free(freed, k, dataset)
			} else {
				try = b.takeProbe(try, k, dataset, token)
			}
		}
	}
	return try, freed
}

// waiting returns who is in trouble, with the datasets that wait for that.
func (b *Breaker) waiting() map[key][]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	waiting := make(map[key][]string, len(b.circuits))
	for k, c := range b.circuits {
		waiting[k] = c.waiting(k)
	}
	return waiting
}

// takeProbe appends a dataset to those to be tried, if it is time to try it.
func (b *Breaker) takeProbe(try []string, k key, dataset, token string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, now := b.circuits[k], time.Now()
	if c == nil {
		return try
	}
	if c.token != token {
		c.replaceToken(now, token)
	}
	if !c.awaitsProbe(now) {
		return try
	}
	c.callProbe(now, b.pauses.Max)
	return append(try, dataset)
}

// free forgets that a dataset waits for an app that is not its own any more, and
// appends it to the others.
func (b *Breaker) free(freed []string, app key, dataset string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.circuits[app]
	if c == nil {
		return freed
	}
	delete(c.turnedAway, dataset)
	return append(freed, dataset)
}

// EndOutage ends the wait of those that failed while Meta as a whole was out of
// reach, since it was lost: each is tried with one event, a moment after the other.
func (b *Breaker) EndOutage(lost time.Time) {
	const unnoticed, soonest, longest = time.Minute, 50 * time.Millisecond, 10 * time.Second
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	step := min(soonest, longest/time.Duration(max(1, len(b.circuits))))
	at := now
	for _, c := range b.circuits {
		if c.reason != Failing || c.since.Before(lost.Add(-unnoticed)) || c.until.Before(now) {
			continue
		}
		at = at.Add(step)
		c.until = at
	}
}
