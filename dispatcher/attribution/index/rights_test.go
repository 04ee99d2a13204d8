package index_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe/dedupetest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/clicks"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/index"
)

// What the documentation grants a receiver in Redis is enough for it, and needed.
func TestTheRightsOfAReceiverInRedis(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/security.md")
	require.NoError(t, err)
	line := regexp.MustCompile("(?s)`user capi-webhooks on (.*?)`").FindSubmatch(text)
	require.NotNil(t, line)
	var rights []string
	for word := range strings.FieldsSeq(string(line[1])) {
		rights = append(rights, word)
	}
	server := dedupetest.Start(t)
	put := func(rights []string) error {
		args := []any{"ACL", "SETUSER", "capi-webhooks", "reset", "on"}
		for _, right := range rights {
			args = append(args, right)
		}
		require.NoError(t, server.Client().Do(t.Context(), args...).Err())
		client := redis.NewClient(&redis.Options{
			Addr: server.Addr, Username: "capi-webhooks", Password: "password", ClientName: "capi-dispatcher", MaxRetries: -1,
		})
		defer func() { _ = client.Close() }()
		return index.New(client, keep).Put(t.Context(), []clicks.Record{click("c", now(), "a", "b")})
	}
	require.NoError(t, put(rights))
	for i, right := range rights {
		if strings.HasPrefix(right, "+") {
			require.Error(t, put(slices.Delete(slices.Clone(rights), i, i+1)), right)
		}
	}
}
