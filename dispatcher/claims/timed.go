package claims

import (
	"context"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
)

// Operation is what is asked of a store.
type Operation string

// The operations.
const (
	Claiming   Operation = "claim"
	Confirming Operation = "confirm"
	Releasing  Operation = "release"
)

// Operations lists every operation.
func Operations() []Operation { return []Operation{Claiming, Confirming, Releasing} }

// Timed returns a store that tells how long each exchange took, and whether it was
// answered.
func Timed(store Store, took func(operation Operation, time time.Duration, ok bool)) Store {
	return timed{store, took}
}

type timed struct {
	Store

	took func(Operation, time.Duration, bool)
}

func (t timed) Claim(ctx context.Context, claims []dedupe.Claim) []dedupe.Result {
	began := time.Now()
	results := t.Store.Claim(ctx, claims)
	// Where one exchange answers for all, the first tells of it.
	t.took(Claiming, time.Since(began), len(results) == 0 || results[0].State != dedupe.Failed)
	return results
}

func (t timed) Confirm(ctx context.Context, claims []dedupe.Claim) (left []dedupe.Claim, err error) {
	began := time.Now()
	left, err = t.Store.Confirm(ctx, claims)
	t.took(Confirming, time.Since(began), err == nil)
	return left, err
}

func (t timed) Release(ctx context.Context, claims []dedupe.Claim) (left []dedupe.Claim, err error) {
	began := time.Now()
	left, err = t.Store.Release(ctx, claims)
	t.took(Releasing, time.Since(began), err == nil)
	return left, err
}
