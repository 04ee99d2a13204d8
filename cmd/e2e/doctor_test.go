package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe/dedupetest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

// finding is one line of what the doctor says.
type finding struct{ Check, Level, Found, Advice string }

// diagnose runs the doctor and returns what it finds, and its exit code.
func (r *rig) diagnose() (findings []finding, code int) {
	r.t.Helper()
	stdout, stderr, code := r.run("doctor", "--json")
	var report struct {
		Faults   int
		Findings []finding
	}
	require.NoError(r.t, json.Unmarshal([]byte(stdout), &report), stderr)
	require.Equal(r.t, report.Faults > 0, code == 1)
	require.NotContains(r.t, stdout+stderr, token)
	return report.Findings, code
}

func TestTheDoctorFindsNothing(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.must("stream", "ensure")
	findings, code := r.diagnose()
	require.Zero(t, code, "%v", findings)
	shown := r.must("doctor")
	t.Logf("doctor\n%s", shown)
	require.Regexp(t, `(?m)^ok +redis eviction: noeviction; maxmemory unlimited, used `, shown)
	require.Regexp(t, `(?m)^ok +redis persistence: append-only file, appendfsync always$`, shown)
	require.Regexp(t, `(?m)^ok +tokens: well-formed for 1 of`, shown)
	require.Regexp(t, `(?m)^ok +consumer capi-dispatcher on stream CAPI_PARKED: is as it should be$`, shown)
	require.Regexp(t, `(?m)^warning +sync_interval of stream CAPI: `, shown)
	require.Regexp(t, `\n0 faults, \d warnings, \d+ ok\n$`, shown)
	require.Zero(t, r.Ledger().Sum().Requests, "no event is sent")
}

func TestTheDoctorFinds(t *testing.T) {
	t.Parallel()
	redisWith := func(args ...string) func(*rig) {
		return func(r *rig) { r.redis = dedupetest.Start(r.t, args...) }
	}
	for name, tc := range map[string]struct {
		spoil func(r *rig)
		want  finding // patterns
	}{
		"eviction": {
			redisWith("--appendonly", "yes", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"),
			finding{"redis eviction", "fault", "allkeys-lru: a full Redis forgets", "noeviction"},
		},
		"no persistence":     {redisWith(), finding{"redis persistence", "fault", "none", "appendonly yes"}},
		"snapshots only":     {redisWith("--save", "3600 1"), finding{"redis persistence", "warning", `snapshots only \(save "3600 1"\)`, "appendonly yes"}},
		"CONFIG forbidden":   {redisWith("--rename-command", "CONFIG", ""), finding{"redis persistence", "warning", "CONFIG GET is refused", "appendonly yes"}},
		"INFO forbidden":     {redisWith("--rename-command", "INFO", ""), finding{"redis", "warning", "INFO is refused", "noeviction"}},
		"Redis away":         {func(r *rig) { r.redis.Kill() }, finding{"redis", "fault", "connection refused", "."}},
		"NATS away":          {func(r *rig) { r.nats.Stop() }, finding{"nats", "fault", "no servers available", "nats.url"}},
		"missing, managed":   {func(r *rig) { r.drop("CAPI_DLQ") }, finding{"stream CAPI_DLQ", "warning", "does not exist", "stream ensure"}},
		"missing, unmanaged": {unmanaged(func(r *rig) { r.drop("CAPI_DLQ") }), finding{"stream CAPI_DLQ", "fault", "does not exist", "create it"}},
		"no consumer": {
			unmanaged(func(r *rig) { require.NoError(r.t, r.js.DeleteConsumer(r.t.Context(), "CAPI", "capi-dispatcher")) }),
			finding{"consumer capi-dispatcher on stream CAPI", "fault", "does not exist", "create it"},
		},
		"a lease shorter than configured": {
			func(r *rig) { r.config.NATS.AckWait = time.Minute },
			finding{"consumer capi-dispatcher on stream CAPI", "fault", "AckWait of 3s, and nats.ack_wait is 1m0s", "same nats.ack_wait"},
		},
		"a lease shorter than a request": {
			func(r *rig) { r.config.NATS.AckWait, r.config.Graph.Timeout = time.Minute, 2*time.Second },
			finding{"consumer capi-dispatcher on stream CAPI_PARKED", "fault", "AckWait of 3s, less than twice graph.timeout 2s", "--wait 1m0s"},
		},
		"a consumer of too much": {
			func(r *rig) { r.consume("CAPI_PARKED", "") },
			finding{"consumer capi-dispatcher on stream CAPI_PARKED", "fault", `has the filter \[\]; set it to capi.parked.due.>`, ""},
		},
		"a limit on deliveries": {
			func(r *rig) {
				r.consume("CAPI", "capi.events.>", func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 5 })
			},
			finding{"consumer capi-dispatcher on stream CAPI", "fault", "gives up after 5 deliveries", ""},
		},
		"no schedules": {
			func(r *rig) { r.remake("CAPI_PARKED", func(c *jetstream.StreamConfig) { c.AllowMsgSchedules = false }) },
			finding{"stream CAPI_PARKED", "fault", "does not allow message schedules", ""},
		},
		"a stream that forgets": {
			func(r *rig) { r.remake("CAPI", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }) },
			finding{"stream CAPI", "warning", "keeps messages for 1h0m0s only", ""},
		},
		"a stream that keeps more than is configured": {
			func(r *rig) { r.remake("CAPI_DLQ", func(c *jetstream.StreamConfig) { c.MaxBytes = 0 }) },
			finding{"stream CAPI_DLQ", "warning", "may hold any size, and nats.dead_letter_max_bytes says 1GB: .* nats stream edit CAPI_DLQ --max-bytes=1000000000", ""},
		},
		"a stream that discards": {
			func(r *rig) {
				r.remake("CAPI", func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 1000, jetstream.DiscardOld })
			},
			finding{"stream CAPI", "warning", "discards its oldest messages", ""},
		},
		"ids in one name space": {
			func(r *rig) { r.remake("CAPI", func(c *jetstream.StreamConfig) { c.Duplicates = 2 * time.Minute }) },
			finding{"stream CAPI", "warning", "one name space for all datasets.*nats stream edit CAPI --dupe-window 100ms", ""},
		},
		"retention": {
			func(r *rig) {
				r.remake("CAPI", func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy })
			},
			finding{"stream CAPI", "warning", "has interest retention", "limits"},
		},
		"no token": {
			func(r *rig) {
				require.NoError(r.t, os.Remove(r.tokenFile("default")))
				r.config.Datasets = config.Default().Datasets
			},
			finding{"tokens", "fault", "holds no token", "default"},
		},
		"a malformed token": {
			func(r *rig) {
				require.NoError(r.t, os.WriteFile(r.tokenFile("123"), []byte("Bearer "+token), 0o600))
			},
			finding{"tokens", "fault", "holds more than one word", "nothing else"},
		},
		"a drain too short": {
			func(r *rig) { r.config.Delivery.DrainTimeout = time.Second },
			finding{"drain", "warning", "1s is less than graph.timeout 1.5s", "1.5s or more"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t, func(cfg *config.Config) { cfg.Graph.Timeout, cfg.NATS.AckWait = 1500*time.Millisecond, 3*time.Second })
			r.must("stream", "ensure")
			tc.spoil(r)
			findings, _ := r.diagnose()
			for _, f := range findings {
				if f.Check == tc.want.Check && f.Level == tc.want.Level {
					require.Regexp(t, tc.want.Found, f.Found)
					require.Regexp(t, tc.want.Advice, f.Advice)
					return
				}
			}
			require.Fail(t, "not found", "%+v in %+v", tc.want, findings)
		})
	}
}

func TestTheDoctorFindsASingleReplicaInACluster(t *testing.T) {
	t.Parallel()
	r, cluster := setup(t), natstest.StartCluster(t, 3)
	direct := r.lead
	r.lead = func(cfg *config.Config) {
		direct(cfg)
		cfg.NATS.URL = secret.URLs(cluster.URL())
	}
	r.must("stream", "ensure")
	findings, code := r.diagnose()
	require.Zero(t, code)
	require.True(t, slices.ContainsFunc(findings, func(f finding) bool {
		return f.Check == "stream CAPI" && f.Level == "warning" && strings.Contains(f.Found, "one replica in a cluster")
	}), "%+v", findings)
}

func TestTheDoctorRefusesAWrongConfiguration(t *testing.T) {
	t.Parallel()
	r := setup(t, func(cfg *config.Config) { cfg.Dedupe.Takeover = 2 * time.Second })
	_, stderr, code := r.run("doctor")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "dedupe.takeover: 2s is less than three times nats.ack_wait (10s)")
}

// unmanaged has the streams verified only.
func unmanaged(spoil func(r *rig)) func(r *rig) {
	return func(r *rig) {
		r.config.NATS.Manage = false
		spoil(r)
	}
}

func (r *rig) tokenFile(name string) string { return filepath.Join(r.config.Graph.TokenDir, name) }

func (r *rig) drop(stream string) { require.NoError(r.t, r.js.DeleteStream(r.t.Context(), stream)) }

// remake makes a stream anew, as it would be but for one thing.
func (r *rig) remake(name string, change func(*jetstream.StreamConfig)) {
	stream, err := r.js.Stream(r.t.Context(), name)
	require.NoError(r.t, err)
	cfg := stream.CachedInfo().Config
	change(&cfg)
	r.drop(name)
	_, err = r.js.CreateStream(r.t.Context(), cfg)
	require.NoError(r.t, err)
}

// consume makes the consumer of a stream anew.
func (r *rig) consume(stream, filter string, change ...func(*jetstream.ConsumerConfig)) {
	cfg := jetstream.ConsumerConfig{
		Durable: "capi-dispatcher", FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy, AckWait: r.config.NATS.AckWait, MaxDeliver: -1,
	}
	for _, c := range change {
		c(&cfg)
	}
	require.NoError(r.t, r.js.DeleteConsumer(r.t.Context(), stream, cfg.Durable))
	_, err := r.js.CreateConsumer(r.t.Context(), stream, cfg)
	require.NoError(r.t, err)
}
