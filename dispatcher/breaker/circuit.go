package breaker

import (
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
)

const (
	// lingers is for how long a trouble whose time is up still counts as one if
	// no request succeeds: about the time it takes to try again. After that, no
	// event has waited for it here; another worker may have seen the end of it.
	lingers = 3 * time.Minute
	// probeTakes is how long those wait that find another one probing, before they
	// ask again.
	probeTakes = time.Second
	// probeAgain is how long it takes, at first, until another probe is called for
	// where nothing was heard of the last one.
	probeAgain = 5 * time.Second
)

// circuit is what is known of a dataset, app or account in trouble. Those that
// are well have none.
type circuit struct {
	failures int
	reason   Reason
	began    time.Time // the trouble
	since    time.Time // the last failure
	until    time.Time // no request before
	token    string    // fingerprint of the one it failed with
	probing  bool      // a probe has the permit
	called   int       // how often a probe has been called for
	callAt   time.Time // when the next one is
	// turnedAway are the datasets that wait for an app.
	turnedAway map[string]struct{}
}

// fail notes a failure, and opens the circuit for longer than the last time, or
// for as long as was asked for. One that is open already stays as it is. The
// result is whether it was opened.
func (c *circuit) fail(now time.Time, reason Reason, asked time.Duration, pauses retry.Backoff) (opened bool) {
	c.blame(now, reason)
	if now.Before(c.until) {
		return false
	}
	c.failures++
	c.until = now.Add(max(asked, pauses.Delay(c.failures-1)))
	return true
}

// blame notes why there is trouble, when it began, and that it goes on. It has to
// be called before the trouble is prolonged.
func (c *circuit) blame(now time.Time, reason Reason) {
	if !c.lasts(now) {
		c.began = now
	}
	c.reason, c.since = reason, now
}

// prolong keeps the circuit open until then, at the least.
func (c *circuit) prolong(until time.Time) {
	if until.After(c.until) {
		c.until = until
	}
}

// lasts reports whether events may still be waiting because of the trouble.
func (c *circuit) lasts(now time.Time) bool {
	return c.probing || now.Before(c.until.Add(lingers))
}

// hear ends the wait when there is reason to hope: a new token, or another worker
// that got through.
func (c *circuit) hear(now time.Time, token string, news time.Time) {
	if token != c.token || news.After(c.since) && now.Before(c.until) {
		c.token, c.until = token, now
	}
}

// barredUntil returns until when no request may be made; zero if one may.
func (c *circuit) barredUntil(now time.Time) time.Time {
	switch {
	case now.Before(c.until):
		return c.until
	case c.probing:
		return now.Add(probeTakes)
	default:
		return time.Time{}
	}
}

// replaceToken has a new token tried at once.
func (c *circuit) replaceToken(now time.Time, token string) {
	c.token, c.until = token, now
	c.called, c.callAt = 0, now
}

// awaitsProbe reports whether it is time to call for a probe.
func (c *circuit) awaitsProbe(now time.Time) bool {
	return !c.probing && !now.Before(c.until) && !now.Before(c.callAt)
}

// callProbe notes that a probe is called for. It may come to another worker, which
// may not have seen a new token yet, so it is called for again from time to time.
func (c *circuit) callProbe(now time.Time, longest time.Duration) {
	c.callAt = now.Add(min(probeAgain<<min(c.called, 10), longest))
	c.called++
}
