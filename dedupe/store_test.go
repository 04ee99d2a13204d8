package dedupe_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe/dedupetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, dedupetest.DialRetry()) }

func TestMiniredis(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	dedupetest.Run(t, client, server.FastForward)
}

func TestRedisServer(t *testing.T) {
	t.Parallel()
	client := dedupetest.Start(t).Client()
	dedupetest.Run(t, client, func(d time.Duration) { ageAll(t, client, d) })
}

func TestRedisCluster(t *testing.T) {
	t.Parallel()
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: dedupetest.StartCluster(t)})
	t.Cleanup(func() { _ = client.Close() })
	dedupetest.Run(t, client, func(d time.Duration) {
		require.NoError(t, client.ForEachMaster(t.Context(), func(_ context.Context, shard *redis.Client) error {
			ageAll(t, shard, d)
			return nil
		}))
	})
}

// ageAll shortens every key's life by d: that is all that age means here.
func ageAll(t *testing.T, client *redis.Client, d time.Duration) {
	t.Helper()
	keys, err := client.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	for _, key := range keys {
		left, err := client.PTTL(t.Context(), key).Result()
		require.NoError(t, err)
		require.NoError(t, client.PExpire(t.Context(), key, left-d).Err())
	}
}

func TestRedisAway(t *testing.T) {
	t.Parallel()
	server := dedupetest.Start(t)
	store := dedupe.New(dedupe.DefaultConfig(), time.Minute, server.Client())
	claims := []dedupe.Claim{{Key: dedupe.NewKey("a"), Owner: 2}, {Key: dedupe.NewKey("b"), Owner: 3}}
	require.NoError(t, store.Check(t.Context()))
	server.Kill()
	for _, result := range store.Claim(t.Context(), claims) {
		require.Equal(t, dedupe.Failed, result.State)
		require.Error(t, result.Err)
	}
	left, err := store.Confirm(t.Context(), claims)
	require.Error(t, err)
	require.Equal(t, claims, left)
	left, err = store.Release(t.Context(), claims)
	require.Error(t, err)
	require.Equal(t, claims, left)
	require.Error(t, store.Check(t.Context()))
	server.Restart()
	require.NoError(t, store.Check(t.Context()))
}

// A connection that cannot be set up leaves the client's commands without an
// error of their own. None may pass for done.
func TestRefusedConnectionConfirmsNothing(t *testing.T) {
	t.Parallel()
	server := dedupetest.Start(t, "--requirepass", "x")
	client := redis.NewClient(&redis.Options{Addr: server.Addr, ClientName: "capi-dispatcher", MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	store := dedupe.New(dedupe.DefaultConfig(), time.Minute, client)
	claims := []dedupe.Claim{{Key: dedupe.NewKey("a"), Owner: 2}}
	require.Equal(t, dedupe.Failed, store.Claim(t.Context(), claims)[0].State)
	left, err := store.Confirm(t.Context(), claims)
	require.ErrorContains(t, err, "refuses the user name or password")
	require.Equal(t, claims, left)
	left, err = store.Release(t.Context(), claims)
	require.Error(t, err)
	require.Equal(t, claims, left)
}

func TestHangingRedisObeysTheContext(t *testing.T) {
	t.Parallel()
	server := dedupetest.Start(t)
	store := dedupe.New(dedupe.DefaultConfig(), time.Minute, server.Client())
	require.NoError(t, store.Check(t.Context()))
	server.Pause()
	defer server.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	result := store.Claim(ctx, []dedupe.Claim{{Key: dedupe.NewKey("a"), Owner: 2}})[0]
	require.Equal(t, dedupe.Failed, result.State)
	require.True(t, errors.Is(result.Err, os.ErrDeadlineExceeded) || errors.Is(result.Err, context.DeadlineExceeded), result.Err)
}

// Redis answers with an error where it could answer and will not. Each such
// answer tells the operator what to do.
func TestRefusalsTellWhatToDo(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args []string
		user string
		want string
	}{
		"full":              {[]string{"--maxmemory", "1", "--maxmemory-policy", "noeviction"}, "", "raise maxmemory"},
		"password missing":  {[]string{"--requirepass", "x"}, "", "redis refuses the user name or password"},
		"command forbidden": {[]string{"--user", "poor", "on", ">poor", "~*", "+@connection"}, "poor", "+eval"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := dedupetest.Start(t, tc.args...)
			client := redis.NewClient(&redis.Options{Addr: server.Addr, Username: tc.user, Password: tc.user, MaxRetries: -1})
			t.Cleanup(func() { _ = client.Close() })
			require.ErrorContains(t, dedupe.New(dedupe.DefaultConfig(), time.Minute, client).Check(t.Context()), tc.want)
		})
	}
}

func TestKeysAndOwners(t *testing.T) {
	t.Parallel()
	require.NotEqual(t, dedupe.NewKey("a", "bc"), dedupe.NewKey("ab", "c"))
	require.NotEqual(t, dedupe.NewKey("a"), dedupe.NewKey("a", ""))
	first, second := dedupe.NewKey("a", "b"), dedupe.NewKey("a", "b")
	require.Equal(t, first, second)

	created := time.Now().UnixNano()
	one, another := dedupe.NewHolder(), dedupe.NewHolder()
	require.NotEqual(t, one, another)
	require.NotEqual(t, dedupe.NewEpoch("CAPI", created), dedupe.NewEpoch("CAPI", created+1), "a stream made anew has another epoch")
	for i := range int64(100_000) {
		epoch := dedupe.NewEpoch("CAPI", i)
		require.NotZero(t, epoch)
		require.Positive(t, dedupe.NewOwner(epoch, 1<<47-1))
		require.Greater(t, dedupe.NewOwner(epoch, 1), dedupe.Owner(1), "an owner is never the marker of a sent event")
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	require.NoError(t, dedupe.DefaultConfig().Validate())
	err := dedupe.Config{Window: time.Hour, Takeover: time.Hour}.Validate()
	require.ErrorContains(t, err, "window: 1h0m0s is shorter than the 7 days")
	require.ErrorContains(t, err, "takeover: ")
	require.Len(t, strings.Split(err.Error(), "\n"), 2, "every fault at once")
}
