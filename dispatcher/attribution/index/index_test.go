package index_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe/dedupetest"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe/memredis"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/clicks"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/index"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/keyring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, dedupetest.DialRetry()) }

const keep = 28 * 24 * time.Hour

var shop = keyring.Scope{Channel: "whatsapp", Account: "102"}

// now is a moment whose clicks are kept.
func now() time.Time { return time.Now().Truncate(time.Second) }

func click(text string, at time.Time, aliases ...string) clicks.Record {
	return clicks.Record{Channel: shop.Channel, Account: shop.Account, Aliases: aliases, Click: text, At: at.Unix()}
}

func person(text string, at time.Time, aliases ...string) clicks.Record {
	return clicks.Record{Channel: "messenger", Account: "106", Aliases: aliases, Person: text, At: at.Unix()}
}

func until(at time.Time, aliases ...string) index.Query {
	return index.Query{Scope: shop, Aliases: aliases, Until: at}
}

func look(t *testing.T, x *index.Index, query index.Query) string {
	t.Helper()
	found := x.Look(t.Context(), []index.Query{query})
	require.Len(t, found, 1)
	require.NoError(t, found[0].Err)
	return found[0].Sealed
}

// onEach runs a test on a single Redis, on a cluster, and on the one in the process.
func onEach(t *testing.T, test func(t *testing.T, client redis.UniversalClient)) {
	t.Helper()
	t.Run("single", func(t *testing.T) {
		t.Parallel()
		test(t, dedupetest.Start(t).Client())
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: dedupetest.StartCluster(t)})
		t.Cleanup(func() { _ = client.Close() })
		test(t, client)
	})
	t.Run("in the process", func(t *testing.T) {
		t.Parallel()
		server, err := memredis.Start()
		require.NoError(t, err)
		t.Cleanup(server.Close)
		client := redis.NewClient(&redis.Options{Addr: server.Addr()})
		t.Cleanup(func() { _ = client.Close() })
		test(t, client)
	})
}

func TestTheLatestClickThatIsNotLater(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, client redis.UniversalClient) {
		t.Helper()
		x, at := index.New(client, keep), now()
		require.NoError(t, x.Put(t.Context(), []clicks.Record{
			click("third", at, "a"), click("first", at.Add(-72*time.Hour), "a"), click("second", at.Add(-time.Hour), "a"), click("other", at, "b"),
		}))
		require.Equal(t, "third", look(t, x, until(at, "a")))
		require.Equal(t, "second", look(t, x, until(at.Add(-time.Second), "a")))
		require.Equal(t, "first", look(t, x, until(at.Add(-2*time.Hour), "a")))
		require.Empty(t, look(t, x, until(at.Add(-73*time.Hour), "a")))
		require.Empty(t, look(t, x, until(at, "c")))
		bounded := until(at.Add(-2*time.Hour), "a")
		bounded.After = at.Add(-71 * time.Hour)
		require.Empty(t, look(t, x, bounded))
		elsewhere := until(at, "a")
		elsewhere.Scope.Account = "103"
		require.Empty(t, look(t, x, elsewhere), "nobody gets another account's click")

		several := x.Look(t.Context(), []index.Query{until(at, "c", "b"), until(at, "c"), until(at, "a", "b")})
		require.Equal(t, []index.Found{{Sealed: "other", At: at}, {}, {Sealed: "third", At: at}}, several)
		require.Empty(t, x.Look(t.Context(), nil))
	})
}

func TestOtherAliasesAreFollowed(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, client redis.UniversalClient) {
		t.Helper()
		x, at := index.New(client, keep), now()
		require.NoError(t, x.Put(t.Context(), []clicks.Record{
			click("by the first number", at.Add(-time.Hour), "number1"),
			click("", at, "number1", "user1"), click("", at, "user1", "user2", "number2"), click("", at, "user2", "user3"),
		}))
		for _, alias := range []string{"number1", "user1", "number2", "user2"} {
			require.Equal(t, "by the first number", look(t, x, until(at, alias)), alias)
		}
		require.NoError(t, x.Put(t.Context(), []clicks.Record{click("by the second", at, "number2")}))
		require.Equal(t, "by the second", look(t, x, until(at, "number1")), "it is the same person's, and later")
		require.Equal(t, "by the second", look(t, x, until(at, "user3")))
	})
}

func TestPeople(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, client redis.UniversalClient) {
		t.Helper()
		x, at := index.New(client, keep), now()
		require.NoError(t, x.Put(t.Context(), []clicks.Record{person("17", at, "user", "conversation")}))
		query := index.Query{Scope: keyring.Scope{Channel: "messenger", Account: "106"}, Aliases: []string{"conversation"}, People: true}
		require.Equal(t, "17", look(t, x, query))
	})
}

// A receiver may die at any moment, and another one begins anew; or two do the same.
func TestReplaysAndDisorderAreHarmless(t *testing.T) {
	t.Parallel()
	at := now()
	var records []clicks.Record
	for i := range 6 {
		records = append(records, click(string(rune('a'+i)), at.Add(-time.Duration(i)*time.Hour), "number", "user"), click("", at, "user", "conversation"))
	}
	records = append(records, records[0], click("a", at.Add(time.Minute), "number")) // seen again
	states := make(map[string]bool)
	for range 20 {
		client := dedupetest.Start(t).Client()
		x := index.New(client, keep)
		rand.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
		for _, r := range records {
			require.NoError(t, x.Put(t.Context(), []clicks.Record{r}))
		}
		require.NoError(t, x.Put(t.Context(), records))
		states[dump(t, client)] = true
		require.Equal(t, "a", look(t, x, until(at, "conversation")))
		require.Equal(t, "b", look(t, x, until(at.Add(-time.Second), "conversation")))
	}
	require.Len(t, states, 1, "what is there does not depend on the way there")
}

// dump is all that is in a Redis, with when it ends.
func dump(t *testing.T, client *redis.Client) string {
	t.Helper()
	var all strings.Builder
	keys, err := client.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	require.NotEmpty(t, keys)
	for _, key := range sorted(keys) {
		members, err := client.ZRangeWithScores(t.Context(), key, 0, -1).Result()
		require.NoError(t, err)
		fmt.Fprint(&all, key, client.ExpireTime(t.Context(), key))
		for _, member := range members {
			fmt.Fprint(&all, member)
		}
	}
	return all.String()
}

func TestASetIsBoundedAndEndsWithItsLatestClick(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, client redis.UniversalClient) {
		t.Helper()
		x, at := index.New(client, keep), now()
		for i := range 20 {
			require.NoError(t, x.Put(t.Context(), []clicks.Record{click(string(rune('a'+i)), at.Add(-time.Duration(i)*time.Hour), "a")}))
		}
		const key = "capi:click:{whatsapp:102:a}"
		require.Equal(t, int64(8), client.ZCard(t.Context(), key).Val())
		require.Equal(t, "a", look(t, x, until(at, "a")))
		require.InDelta(t, keep.Seconds(), client.TTL(t.Context(), key).Val().Seconds(), 5)
		require.NoError(t, x.Put(t.Context(), []clicks.Record{click("old", at.Add(-keep-time.Minute), "b")}))
		require.Empty(t, look(t, x, until(at, "b")), "it counts no more")
	})
}

func TestForget(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, client redis.UniversalClient) {
		t.Helper()
		x, at := index.New(client, keep), now()
		require.NoError(t, x.Put(t.Context(), []clicks.Record{click("c", at, "number", "user"), click("", at, "user", "conversation"), click("d", at, "other")}))
		aliases, err := x.Aliases(t.Context(), shop, []string{"number"})
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"number", "user", "conversation"}, aliases)
		keys, err := x.Forget(t.Context(), shop, aliases)
		require.NoError(t, err)
		require.Equal(t, 5, keys)
		require.Empty(t, look(t, x, until(at, aliases...)))
		require.Equal(t, "d", look(t, x, until(at, "other")))
	})
}

func TestARedisThatIsAwayIsAnError(t *testing.T) {
	t.Parallel()
	server := dedupetest.Start(t)
	x := index.New(server.Client(), keep)
	server.Kill()
	found := x.Look(t.Context(), []index.Query{until(now(), "a"), until(now(), "b")})
	require.Error(t, found[0].Err)
	require.Error(t, found[1].Err)
	require.Error(t, x.Put(t.Context(), []clicks.Record{click("c", now(), "a")}))
	_, err := x.Aliases(t.Context(), shop, []string{"a"})
	require.Error(t, err)
	_, err = x.Forget(t.Context(), shop, []string{"a"})
	require.Error(t, err)
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
