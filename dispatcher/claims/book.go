// Package claims deals with a store of claims that may be away for a while.
//
// Without claims nothing may be sent: the gate shuts at the first failure, so that
// nothing is taken in, and opens when the store answers again. What was sent while
// it was away is confirmed later, and a claim that is given up is given up then.
package claims

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
)

// Store keeps who may send an event and what has been sent: a [dedupe.Store].
type Store interface {
	Claim(ctx context.Context, claims []dedupe.Claim) []dedupe.Result
	Confirm(ctx context.Context, claims []dedupe.Claim) (left []dedupe.Claim, err error)
	Release(ctx context.Context, claims []dedupe.Claim) (left []dedupe.Claim, err error)
	Check(ctx context.Context) error
}

// Timeout bounds one exchange with the store.
const Timeout = 3 * time.Second

// Book is a store's claims. It is safe for concurrent use.
type Book struct {
	store Store
	gate  *health.Gate
	log   *zap.Logger
	later later
}

// NewBook returns the book of a store. gate is shut until the store has answered.
func NewBook(store Store, gate *health.Gate, log *zap.Logger) *Book {
	return &Book{store: store, gate: gate, log: log, later: newLater()}
}

// Claim asks the store for claims, for patience at the most. Where it does not
// answer, the gate is shut.
func (b *Book) Claim(ctx context.Context, claims []dedupe.Claim, patience time.Duration) []dedupe.Result {
	ctx, cancel := exchange(ctx, patience)
	defer cancel()
	results := b.store.Claim(ctx, claims)
	for i := range results {
		if results[i].State == dedupe.Failed {
			b.failed(results[i].Err)
			break
		}
	}
	return results
}

// Await returns once the store answers, or with the context's error.
func (b *Book) Await(ctx context.Context) error { return b.gate.AwaitOpen(ctx) }

// Release gives claims up. Those that another delivery has inherited stay.
// While the store is away it waits, until ctx ends: a claim that is not
// released is inherited in the end.
func (b *Book) Release(ctx context.Context, claims []dedupe.Claim) {
	for len(claims) > 0 {
		left, err := b.tryRelease(ctx, claims)
		if err == nil {
			return
		}
		b.failed(err)
		if b.Await(ctx) != nil {
			b.log.Warn("claims could not be released; copies of these events are held for a while", zap.Int("events", len(left)))
			return
		}
		claims = left
	}
}

func (b *Book) tryRelease(ctx context.Context, claims []dedupe.Claim) (left []dedupe.Claim, err error) {
	ctx, cancel := exchange(ctx, Timeout)
	defer cancel()
	return b.store.Release(ctx, claims)
}

// Confirm remembers what was sent. While the store is away it waits, until ctx
// ends, and then leaves it for later: an event that was sent and is not
// acknowledged would be far more likely to be sent again than a second copy is to
// arrive.
func (b *Book) Confirm(ctx context.Context, claims []dedupe.Claim) {
	for len(claims) > 0 {
		var err error
		if claims, err = b.tryConfirm(ctx, claims); err == nil {
			return
		}
		if b.Await(ctx) != nil {
			b.later.add(claims)
			return
		}
	}
}

func (b *Book) tryConfirm(ctx context.Context, claims []dedupe.Claim) (left []dedupe.Claim, err error) {
	ctx, cancel := exchange(ctx, Timeout)
	defer cancel()
	left, err = b.store.Confirm(ctx, claims)
	if err != nil {
		b.failed(err)
	}
	return left, err
}

// exchange is for one exchange with the store. It outlives the context: what has
// been sent is to be remembered even after a drain's deadline.
func exchange(ctx context.Context, patience time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), patience)
}

// failed shuts the gate that lets events in.
func (b *Book) failed(err error) {
	if b.gate.Shut(err.Error()) {
		b.log.Error("Redis does not answer; no events are taken, so that none is sent twice", zap.Error(err))
	}
}

// Watch opens the gate when the store answers, for the first time and after each
// failure, until ctx ends: ever more slowly if that never lasts, as where a part
// of a cluster is away and the probe goes to another.
func (b *Book) Watch(ctx context.Context) {
	const steady = 10 * time.Second
	var loop retry.Loop
	var opened time.Time
	for b.gate.AwaitShut(ctx) == nil && ctx.Err() == nil {
		if time.Since(opened) > steady {
			loop.Reset()
		}
		for again := true; again && ctx.Err() == nil; again = !b.answers(ctx) {
			loop.SlowDown(ctx)
		}
		opened = time.Now()
		if ctx.Err() == nil && b.gate.Open() {
			b.log.Info("Redis answers again")
		}
	}
}

func (b *Book) answers(ctx context.Context) bool {
	ctx, cancel := exchange(ctx, Timeout)
	defer cancel()
	err := b.store.Check(ctx)
	if err != nil {
		b.failed(err)
	}
	return err == nil
}
