package dispatcher_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe/dedupetest"
)

// roundTrips counts what a client sends to Redis and waits for.
type roundTrips struct{ count atomic.Int64 }

func (r *roundTrips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r *roundTrips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		r.count.Add(1)
		return next(ctx, cmd)
	}
}

func (r *roundTrips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		r.count.Add(1)
		return next(ctx, cmds)
	}
}

// A batch costs one round trip to Redis before its request, and one after it.
func TestABatchCostsTwoRoundTripsToRedis(t *testing.T) {
	t.Parallel()
	const messages, each = 20, 50
	var trips roundTrips
	b := setup(t, func(o *options) {
		client := redis.NewClient(&redis.Options{Addr: dedupetest.Start(t).Addr, MaxRetries: -1})
		client.AddHook(&trips)
		t.Cleanup(func() { _ = client.Close() })
		o.redis = client
	})
	before := trips.count.Load()
	for i := range messages {
		var events []string
		for j := range each {
			events = append(events, event(fmt.Sprint(i, "-", j)))
		}
		b.publish(dataset, body(events...))
	}
	b.awaitAccepted(messages * each)
	b.awaitQuiet()
	const beside = 3 // a look at whether somebody sweeps, and the like
	requests := b.Ledger().Sum().Requests
	require.LessOrEqual(t, trips.count.Load()-before, int64(2*requests+beside), "%d requests", requests)
	require.Less(t, requests, messages*each/10)
}
