package claims_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/claims"
)

// slow is a store that takes a second, and then may fail.
type slow struct{ err error }

func (s slow) Claim(_ context.Context, asked []dedupe.Claim) []dedupe.Result {
	time.Sleep(time.Second)
	results := make([]dedupe.Result, len(asked))
	for i := range results {
		results[i].State = dedupe.Fresh
		if s.err != nil {
			results[i] = dedupe.Result{State: dedupe.Failed, Err: s.err}
		}
	}
	return results
}

func (s slow) Confirm(_ context.Context, asked []dedupe.Claim) ([]dedupe.Claim, error) {
	time.Sleep(time.Second)
	return asked, s.err
}

func (s slow) Release(ctx context.Context, asked []dedupe.Claim) ([]dedupe.Claim, error) {
	return s.Confirm(ctx, asked)
}

func (s slow) Check(context.Context) error { return s.err }

func TestExchangesAreTimed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := []dedupe.Claim{{Key: dedupe.NewKey("a")}}
		for _, failure := range []error{nil, errors.New("away")} {
			var told []claims.Operation
			store := claims.Timed(slow{failure}, func(operation claims.Operation, took time.Duration, ok bool) {
				require.Equal(t, time.Second, took)
				require.Equal(t, failure == nil, ok)
				told = append(told, operation)
			})
			require.Len(t, store.Claim(t.Context(), asked), 1)
			_, err := store.Confirm(t.Context(), asked)
			require.Equal(t, failure, err)
			left, err := store.Release(t.Context(), asked)
			require.Equal(t, failure, err)
			require.Equal(t, asked, left)
			require.Equal(t, claims.Operations(), told)
		}
	})
}
