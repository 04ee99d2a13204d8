package dispatcher

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
)

// redisTimeout bounds one exchange with Redis.
const redisTimeout = 3 * time.Second

// redisContext is for one exchange with Redis. It outlives the drain deadline:
// what has been sent is to be remembered even then.
func (d *Dispatcher) redisContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(d.working), redisTimeout)
}

// redisFailed shuts the gate that lets events in. Without claims nothing may
// be sent, so nothing is taken either.
func (d *Dispatcher) redisFailed(err error) {
	if d.gates.redis.Shut(err.Error()) {
		d.log.Error("Redis does not answer; no events are taken, so that none is sent twice", zap.Error(err))
	}
}

// watchRedis opens the gate when Redis answers, for the first time and after each
// failure: ever more slowly if that never lasts, as where a part of a cluster is
// away and our probe goes to another.
func (d *Dispatcher) watchRedis(ctx context.Context) {
	const steady = 10 * time.Second
	var loop retry.Loop
	var opened time.Time
	for d.gates.redis.AwaitShut(ctx) == nil && ctx.Err() == nil {
		if time.Since(opened) > steady {
			loop.Reset()
		}
		for again := true; again && ctx.Err() == nil; again = !d.tryRedis() {
			loop.SlowDown(ctx)
		}
		opened = time.Now()
		if ctx.Err() == nil && d.gates.redis.Open() {
			d.log.Info("Redis answers again")
		}
	}
}

func (d *Dispatcher) tryRedis() bool {
	ctx, cancel := d.redisContext()
	defer cancel()
	err := d.deps.Claims.Check(ctx)
	if err != nil {
		d.redisFailed(err)
	}
	return err == nil
}

// release gives up the claims of events that this message will not send; those
// that somebody else has inherited stay. If Redis does not answer, it waits
// until it does, unless the dispatcher is stopping: such a claim is inherited
// in the end.
func (d *Dispatcher) release(entries []*entry) {
	claims := releasable(entries)
	for len(claims) > 0 {
		ctx, cancel := d.redisContext()
		left, err := d.deps.Claims.Release(ctx, claims)
		cancel()
		if err == nil {
			return
		}
		d.redisFailed(err)
		if d.gates.redis.AwaitOpen(d.taking) != nil {
			d.log.Warn("claims could not be released; copies of these events are held for a while", zap.Int("events", len(left)))
			return
		}
		claims = left
	}
}

// releaseUnsent gives up the claims of events that were not sent for sure. The
// claim of an event that may have been sent stays: it is how the next delivery
// knows, or a copy of a dead letter.
func (d *Dispatcher) releaseUnsent(entries []*entry) {
	var unsent []*entry
	for _, e := range entries {
		if e.history.maybeSent == 0 {
			unsent = append(unsent, e)
		}
	}
	d.release(unsent)
}

// releasable are the claims that we have.
func releasable(entries []*entry) (claims []dedupe.Claim) {
	for _, e := range entries {
		if e.claimed {
			e.claimed = false
			claims = append(claims, e.claim())
		}
	}
	return claims
}

// confirm remembers events as sent. If Redis does not answer for a while, it is
// left for later: an event that was sent and is not acknowledged would be far
// more likely to be sent again than a second copy is to arrive.
func (d *Dispatcher) confirm(entries []*entry) {
	left := claimsOf(entries)
	ctx, cancel := context.WithTimeout(d.taking, d.cfg.Streams.AckWait/3)
	defer cancel()
	for len(left) > 0 {
		var err error
		if left, err = d.tryConfirm(left); err == nil {
			return
		}
		if d.gates.redis.AwaitOpen(ctx) != nil {
			d.confirms.add(left)
			return
		}
	}
}

func (d *Dispatcher) tryConfirm(claims []dedupe.Claim) (left []dedupe.Claim, err error) {
	ctx, cancel := d.redisContext()
	defer cancel()
	left, err = d.deps.Claims.Confirm(ctx, claims)
	if err != nil {
		d.redisFailed(err)
	}
	return left, err
}

// confirms are events that were sent and could not be confirmed. While there
// are any, Redis does not answer and nothing is taken, so that they cannot
// become more than what was in hand.
type confirms struct {
	added chan struct{}

	mu     sync.Mutex
	claims []dedupe.Claim
}

func newConfirms() *confirms { return &confirms{added: make(chan struct{}, 1)} }

func (c *confirms) add(claims []dedupe.Claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.claims = append(c.claims, claims...)
	select {
	case c.added <- struct{}{}:
	default:
	}
}

func (c *confirms) takeAll() []dedupe.Claim {
	c.mu.Lock()
	defer c.mu.Unlock()
	claims := c.claims
	c.claims = nil
	return claims
}

func (c *confirms) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.claims)
}

// confirmLater catches up when Redis answers again.
func (d *Dispatcher) confirmLater(ctx context.Context) {
	for {
		select {
		case <-d.confirms.added:
		case <-ctx.Done():
			return
		}
		if d.gates.redis.AwaitOpen(ctx) != nil {
			return
		}
		d.flushConfirms()
	}
}

// flushConfirms confirms what could not be confirmed before.
func (d *Dispatcher) flushConfirms() {
	claims := d.confirms.takeAll()
	if len(claims) == 0 {
		return
	}
	left, err := d.tryConfirm(claims)
	if err != nil {
		d.confirms.add(left)
		d.log.Error("events were sent and could not be remembered as sent; a second copy of one would be sent again",
			zap.Int("events", len(left)), zap.Error(err))
	}
}
