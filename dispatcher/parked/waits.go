package parked

import (
	"math/rand/v2"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
)

// Waits say how long events are parked.
type Waits struct{ retry.Backoff }

// Delay returns how long an event waits that has been parked before times
// already.
func (w Waits) Delay(before int) time.Duration {
	return max(w.Backoff.Delay(before), w.shortest(before))
}

// DelayFor returns how long an event waits that has to wait for least, for a
// reason of its own. Events that wait for the same moment are spread, so that
// they do not all come at once.
func (w Waits) DelayFor(before int, least time.Duration) time.Duration {
	wait := max(least, 0)
	wait += rand.N(wait/8 + 1)
	return max(wait, w.shortest(before))
}

// shortest returns the shortest wait of an event that has been parked before
// times already. It grows, because each return that is too early costs four
// writes.
func (w Waits) shortest(before int) time.Duration {
	if before == 0 {
		return 0
	}
	return min(time.Second<<min(before-1, 20), w.Max)
}

// longest is how long events are parked, but for those that have to wait for a
// time of their own.
func (w Waits) longest() time.Duration { return w.Max*9/8 + w.overdueAfter() }

// overdueAfter is how late, on the server's clock, an event has to be before it
// counts as overdue. The server is a second late as a rule, and later when many
// are due at once.
func (w Waits) overdueAfter() time.Duration {
	return min(time.Minute, max(5*time.Second, w.Initial))
}

// WakeTime returns when an event comes back that waits for wait from now on,
// all on the server's clock. It is never long after the event expires, because
// then it has to be dead-lettered. It is in whole seconds, as schedules are.
func WakeTime(now time.Time, wait time.Duration, expires time.Time) time.Time {
	at := now.Add(wait)
	if expiry := expires.Add(time.Second); at.After(expiry) {
		at = expiry
	}
	return at.Truncate(time.Second).Add(time.Second)
}
