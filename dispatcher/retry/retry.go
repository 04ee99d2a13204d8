// Package retry says how long to wait before something that failed is tried
// again.
package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff grows from Initial to Max, doubling, with half of it at random.
type Backoff struct {
	Initial time.Duration `yaml:"initial"`
	Max     time.Duration `yaml:"max"`
}

// Delay returns the next wait, where before counts the earlier ones. Half of it
// is random, so that what fails together does not come back together.
func (b Backoff) Delay(before int) time.Duration {
	full := b.full(before)
	return full/2 + rand.N(full/2+1)
}

// full is the longest that the wait may be. It is compared before it is doubled:
// what has failed all day would overflow.
func (b Backoff) full(before int) time.Duration {
	if before >= 63 || b.Initial > b.Max>>before {
		return b.Max
	}
	return b.Initial << before
}

// Loop makes a loop that fails go slower and slower: from a tenth of a second to
// five seconds a round. The zero value is ready. It is for one goroutine.
type Loop struct{ wait time.Duration }

// Reset begins anew, after a success.
func (l *Loop) Reset() { l.wait = 0 }

// SlowDown waits after a failure, or until ctx ends.
func (l *Loop) SlowDown(ctx context.Context) {
	l.wait = min(max(2*l.wait, 100*time.Millisecond), 5*time.Second)
	_ = Wait(ctx, l.wait)
}

// Wait returns after a while, or with the context's error.
func Wait(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
