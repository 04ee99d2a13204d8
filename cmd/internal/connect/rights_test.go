package connect_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/doctor"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe/dedupetest"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/directory"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

// redisRights are the rights on commands in docs/security.md, and the line's
// other words.
func redisRights(t *testing.T) (commands, others []string) {
	t.Helper()
	text, err := os.ReadFile("../../../docs/security.md")
	require.NoError(t, err)
	line := regexp.MustCompile(`(?m)^user capi (.*)$`).FindSubmatch(text)
	require.NotNil(t, line)
	for word := range strings.FieldsSeq(string(line[1])) {
		if strings.HasPrefix(word, "+") {
			commands = append(commands, word)
		} else {
			others = append(others, word)
		}
	}
	require.Contains(t, others, ">password")
	return commands, others
}

// grant makes a user with these rights, and returns how it logs in.
func grant(t *testing.T, server redis.Cmdable, name string, rights []string) (user, passwordFile string) {
	t.Helper()
	args := []any{"ACL", "SETUSER", name}
	for _, right := range rights {
		args = append(args, right)
	}
	client, ok := server.(interface {
		Do(ctx context.Context, args ...any) *redis.Cmd
	})
	require.True(t, ok)
	require.NoError(t, client.Do(t.Context(), args...).Err())
	return name, writeFile(t, "password")
}

// meta knows the dataset of every account, until it is away.
type meta struct{ away bool }

func (m *meta) Dataset(context.Context, graph.Asset) (string, error) {
	if m.away {
		return "", errors.New("away")
	}
	return "1234567890", nil
}

func (m *meta) Fingerprint(string) string { return "" }

// workWith does everything that a worker does with Redis.
func workWith(t *testing.T, cfg config.Redis) error {
	t.Helper()
	client, err := connect.Redis(&cfg, 4)
	require.NoError(t, err)
	defer func() { _ = client.Close() }()
	store := dedupe.New(dedupe.DefaultConfig(), time.Minute, client)
	one := dedupe.Claim{Key: dedupe.NewKey(t.Name()), Owner: dedupe.NewOwner(1, 1), Holder: 1}
	another := dedupe.Claim{Key: one.Key, Owner: dedupe.NewOwner(1, 2), Holder: 2}
	for _, claim := range []dedupe.Claim{one, one, another} {
		if result := store.Claim(t.Context(), []dedupe.Claim{claim})[0]; result.State == dedupe.Failed {
			return result.Err
		}
	}
	_, released := store.Release(t.Context(), []dedupe.Claim{one})
	_, confirmed := store.Confirm(t.Context(), []dedupe.Claim{one})
	return errors.Join(released, confirmed, store.Check(t.Context()), remembers(t, client))
}

// remembers tells a directory a dataset, and asks another one for it.
func remembers(t *testing.T, client redis.UniversalClient) error {
	t.Helper()
	asset := graph.Asset{Kind: graph.Page, ID: "11"}
	for _, m := range []*meta{{}, {away: true}} {
		datasets := directory.New(m, m, client)
		finding := datasets.Find(t.Context(), asset)
		datasets.Close()
		if finding.Dataset != "1234567890" {
			return fmt.Errorf("the dataset is not known: %+v", finding)
		}
	}
	return nil
}

// diagnosis is what the doctor cannot see or finds wrong with Redis.
func diagnosis(t *testing.T, cfg config.Redis) (complaints []string) {
	t.Helper()
	whole := config.Default()
	whole.NATS.URL, whole.Redis, whole.Graph.TokenDir = "nats://127.0.0.1:1", cfg, t.TempDir()
	for _, f := range doctor.Examine(t.Context(), &whole) {
		if strings.HasPrefix(f.Check, "redis") && (f.Level == doctor.Fault || strings.Contains(f.Found, "INFO is refused")) {
			complaints = append(complaints, f.Found+"; "+f.Advice)
		}
	}
	return complaints
}

func TestTheRightsInRedisAreEnoughAndNeeded(t *testing.T) {
	t.Parallel()
	commands, others := redisRights(t)
	server := dedupetest.Start(t, "--appendonly", "yes")
	try := func(t *testing.T, rights []string, database string) error {
		t.Helper()
		cfg := config.Redis{URL: secret.URLs(strings.TrimSuffix(server.URL(), "0") + database), Mode: config.Single}
		cfg.User, cfg.PasswordFile = grant(t, server.Client(), strings.ReplaceAll(t.Name(), "/", "-"), slices.Concat(others, rights))
		err := workWith(t, cfg)
		for _, complaint := range diagnosis(t, cfg) {
			err = errors.Join(err, errors.New(complaint))
		}
		return err
	}
	t.Run("all", func(t *testing.T) {
		t.Parallel()
		require.NoError(t, try(t, commands, "0"))
	})
	for i, right := range commands {
		t.Run("without "+right, func(t *testing.T) {
			t.Parallel()
			err := try(t, slices.Delete(slices.Clone(commands), i, i+1), "0")
			require.Error(t, err)
			require.Contains(t, err.Error(), right, "what is missing is among what is needed")
		})
	}
	t.Run("another database", func(t *testing.T) {
		t.Parallel()
		require.ErrorContains(t, try(t, commands, "3"), "+select")
	})
	t.Run("another database, selected", func(t *testing.T) {
		t.Parallel()
		require.NoError(t, try(t, append(slices.Clone(commands), "+select"), "3"))
	})
}

func TestTheRightsInAClusterOfRedis(t *testing.T) {
	t.Parallel()
	commands, others := redisRights(t)
	var urls []string
	nodes := dedupetest.StartCluster(t)
	try := func(rights ...string) error {
		cfg := config.Redis{URL: secret.URLs(strings.Join(urls, ",")), Mode: config.Cluster}
		for _, addr := range nodes {
			client := redis.NewClient(&redis.Options{Addr: addr})
			cfg.User, cfg.PasswordFile = grant(t, client, "capi", slices.Concat([]string{"reset"}, others, commands, rights))
			require.NoError(t, client.Close())
		}
		return workWith(t, cfg)
	}
	for _, addr := range nodes {
		urls = append(urls, "redis://"+addr)
	}
	require.ErrorContains(t, try("+command"), "+cluster|slots")
	require.NoError(t, try("+command", "+cluster|slots"))
}
