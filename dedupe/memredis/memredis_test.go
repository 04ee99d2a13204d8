package memredis_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe/memredis"
)

func TestTimePasses(t *testing.T) {
	defer goleak.VerifyNone(t)
	server, err := memredis.Start()
	require.NoError(t, err)
	defer server.Close()
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1})
	defer func() { require.NoError(t, client.Close()) }()
	require.NoError(t, client.Set(t.Context(), "short", "", 2*time.Second).Err())
	require.NoError(t, client.Set(t.Context(), "long", "", time.Hour).Err())
	require.Eventually(t, func() bool { return client.Exists(t.Context(), "short").Val() == 0 }, time.Minute, 10*time.Millisecond)
	require.Less(t, client.PTTL(t.Context(), "long").Val(), time.Hour)
	require.EqualValues(t, 1, client.Exists(t.Context(), "long").Val())
}
