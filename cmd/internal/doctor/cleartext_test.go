package doctor_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/doctor"
	"github.com/capi-dispatcher/capi-dispatcher/config"
)

// diagnose returns what is found in a configuration whose servers are all away.
func diagnose(t *testing.T, change func(cfg *config.Config)) (findings []doctor.Finding) {
	t.Helper()
	cfg := config.Default()
	cfg.Graph.TokenDir = t.TempDir()
	cfg.NATS.URL, cfg.Redis.URL = "nats://127.0.0.1:1", "redis://127.0.0.1:1"
	change(&cfg)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, f := range doctor.Examine(gone, &cfg) {
		if f.Check == "clear text" || f.Check == "secrets' files" {
			findings = append(findings, f)
		}
	}
	return findings
}

func TestClearTextIsFound(t *testing.T) {
	t.Parallel()
	password := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(password, []byte("hush"), 0o600))
	for name, tc := range map[string]struct {
		change func(cfg *config.Config)
		found  string // empty: nothing
	}{
		"all at home": {func(cfg *config.Config) {
			cfg.NATS.URL, cfg.Redis.URL, cfg.Graph.URL = "nats://localhost:1,nats://[::1]:1,ws://127.9.9.9:1", "redis://:hush@127.0.0.1:1", "http://localhost:1"
		}, ""},
		"all encrypted": {func(cfg *config.Config) {
			cfg.NATS.URL, cfg.Redis.URL = "tls://nats.invalid:1,wss://nats.invalid:1", "rediss://:hush@redis.invalid:1"
		}, ""},
		"TLS by its files": {func(cfg *config.Config) {
			cfg.NATS.URL, cfg.Redis.URL, cfg.Redis.PasswordFile = "nats://nats.invalid:1", "redis://redis.invalid:1", password
			cfg.NATS.TLS.CAFile, cfg.Redis.TLS.CAFile = "/nowhere", "/nowhere"
		}, ""},
		"Redis without a password": {func(cfg *config.Config) { cfg.Redis.URL = "redis://redis.invalid:1" }, ""},
		"Redis": {func(cfg *config.Config) {
			cfg.Redis.URL, cfg.Redis.PasswordFile = "redis://127.0.0.1:1,redis://redis.invalid:1", password
			cfg.Redis.Mode = config.Cluster
		}, "redis.url redis://redis.invalid:1: the password travels in the clear"},
		"Redis, password in the address": {func(cfg *config.Config) { cfg.Redis.URL = "redis://user:hush@redis.invalid:1" }, "redis.url redis://[redacted]@redis.invalid:1: the password"},
		"NATS":                           {func(cfg *config.Config) { cfg.NATS.URL = "nats://user:hush@nats.invalid:1" }, "nats.url nats://[redacted]@nats.invalid:1: events"},
		"NATS by web sockets":            {func(cfg *config.Config) { cfg.NATS.URL = "wss://nats.invalid,ws://nats.invalid:1" }, "nats.url ws://nats.invalid:1: events"},
		"Graph":                          {func(cfg *config.Config) { cfg.Graph.URL, cfg.Graph.Insecure = "http://graph.invalid", true }, "graph.url http://graph.invalid: access tokens travel in the clear"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			findings := diagnose(t, tc.change)
			require.Len(t, findings, 1)
			if tc.found == "" {
				require.Equal(t, doctor.OK, findings[0].Level, "%v", findings)
				return
			}
			require.Equal(t, doctor.Warning, findings[0].Level)
			require.Contains(t, findings[0].Found, tc.found)
			require.NotContains(t, findings[0].Found, "hush")
			require.NotEmpty(t, findings[0].Advice)
		})
	}
}

func TestSecretsThatEverybodyCanReadAreFound(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(cfg *config.Config, file string){
		"token":                     func(cfg *config.Config, file string) { cfg.Graph.TokenDir = filepath.Dir(file) },
		"app secret":                func(cfg *config.Config, file string) { cfg.Graph.AppSecretFile = file },
		"NATS credentials":          func(cfg *config.Config, file string) { cfg.NATS.CredsFile = file },
		"NATS seed":                 func(cfg *config.Config, file string) { cfg.NATS.NKeySeedFile = file },
		"NATS password":             func(cfg *config.Config, file string) { cfg.NATS.PasswordFile = file },
		"NATS token":                func(cfg *config.Config, file string) { cfg.NATS.TokenFile = file },
		"NATS key":                  func(cfg *config.Config, file string) { cfg.NATS.TLS.KeyFile = file },
		"Redis password":            func(cfg *config.Config, file string) { cfg.Redis.PasswordFile = file },
		"Redis sentinels' password": func(cfg *config.Config, file string) { cfg.Redis.SentinelPasswordFile = file },
		"Redis key":                 func(cfg *config.Config, file string) { cfg.Redis.TLS.KeyFile = file },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "default")
			for mode, level := range map[os.FileMode]doctor.Level{0o644: doctor.Warning, 0o604: doctor.Warning, 0o640: doctor.OK, 0o400: doctor.OK} {
				require.NoError(t, os.WriteFile(file, []byte("hush"), 0o600))
				require.NoError(t, os.Chmod(file, mode))
				findings := diagnose(t, func(cfg *config.Config) { set(cfg, file) })
				require.Len(t, findings, 1)
				require.Equal(t, level, findings[0].Level, mode)
				if level == doctor.Warning {
					require.Contains(t, findings[0].Found, fmt.Sprintf("%s (%s)", file, mode))
				}
				require.NoError(t, os.Remove(file))
			}
		})
	}
}

func TestManyOpenFilesAreOneFinding(t *testing.T) {
	t.Parallel()
	findings := diagnose(t, func(cfg *config.Config) {
		for i := range 100 {
			file := filepath.Join(cfg.Graph.TokenDir, strconv.Itoa(i))
			require.NoError(t, os.WriteFile(file, []byte("hush"), 0o600))
			require.NoError(t, os.Chmod(file, 0o644))
		}
	})
	require.Len(t, findings, 1)
	require.Contains(t, findings[0].Found, ", and 95 more")
}
