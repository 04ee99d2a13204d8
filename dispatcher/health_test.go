package dispatcher_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe/dedupetest"
	"github.com/capi-dispatcher/capi-dispatcher/internal/porttest"
)

// With Redis on a dead port a worker is not ready, although there is nothing to
// send yet that would show it.
func TestAWorkerIsNotReadyBeforeRedisHasAnswered(t *testing.T) {
	t.Parallel()
	logged, lines := observer.New(zap.WarnLevel)
	b := setup(t, func(o *options) { o.log = zap.New(logged) })
	b.stop(b.running)
	client := redis.NewClient(&redis.Options{Addr: fmt.Sprint("127.0.0.1:", porttest.Port(t)), MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { _ = client.Close() })
	b.options.redis = client
	b.running = b.launch()
	require.Equal(t, "not checked yet", b.condition("redis").Reason)
	require.False(t, b.running.ready())
	b.awaitCondition("events", true)
	b.await("it has asked Redis", func() bool { return strings.Contains(b.condition("redis").Reason, "refused") })
	require.False(t, b.running.ready())
	b.await("the log says so", func() bool { return lines.FilterMessageSnippet("Redis does not answer").Len() == 1 })
}

// What nobody has tried is said to be so, and is no reason against the worker.
func TestConditionsSayWhatNobodyHasTried(t *testing.T) {
	t.Parallel()
	server := dedupetest.Start(t)
	b := setup(t, func(o *options) { o.redis = server.Client() })
	for _, name := range []string{"graph", "exits"} {
		require.True(t, b.condition(name).OK)
		require.Equal(t, "not tried yet", b.condition(name).Reason)
	}
	b.publish(dataset, event("good"), poison("bad"))
	b.awaitLetters(1)
	b.awaitAccepted(1)
	b.awaitQuiet()
	for _, name := range []string{"graph", "exits", "redis", "events", "parked", "slots"} {
		require.True(t, b.condition(name).OK)
		require.Empty(t, b.condition(name).Reason)
	}
}

// Many dead letters make few lines: what the first one is, and how many there are.
func TestDeadLettersAreLogged(t *testing.T) {
	t.Parallel()
	for name, hashed := range map[string]bool{"ids as they are": false, "ids hashed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			logged, lines := observer.New(zap.WarnLevel)
			b := setup(t, func(o *options) { o.log, o.cfg.Rules.HashPersonalData = zap.New(logged), hashed })
			const bad = 3000
			faulty := make([]string, bad)
			for i := range faulty {
				faulty[i] = strings.Replace(event(fmt.Sprint("person@example.com/", i)), `"event_time"`, `"custom_data":7,"event_time"`, 1)
			}
			began := time.Now()
			for i := 0; i < bad; i += 1000 {
				b.publish(dataset, body(faulty[i:i+1000]...))
			}
			b.publish(other, poison("refused"))
			b.await("all are dead", func() bool { return b.settledAs("dead_lettered") == bad+1 })
			b.stop(b.running)
			told := lines.FilterMessage("events are dead letters").All()
			require.LessOrEqual(t, len(told), 2*(2+int(time.Since(began)/time.Minute)))
			var events int64
			for _, line := range told {
				fields := line.ContextMap()
				id, _ := fields["first_event_id"].(string)
				if fields["dataset"] == other {
					require.Equal(t, "refused", fields["reason"])
					require.EqualValues(t, 100, fields["code"])
					require.Equal(t, hashed, id != "refused")
					continue
				}
				require.Equal(t, "invalid", fields["reason"])
				require.Contains(t, fields["first_fault_at"], "custom_data")
				require.NotEmpty(t, fields["first_fault"])
				require.NotZero(t, fields["first_letter"])
				require.Equal(t, hashed, strings.HasPrefix(id, "sha256-"))
				require.Equal(t, !hashed, strings.Contains(id, "person@"))
				count, _ := fields["events"].(int64)
				events += count
			}
			require.EqualValues(t, bad, events)
		})
	}
}
