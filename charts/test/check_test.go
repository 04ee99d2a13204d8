package test_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/capi-dispatcher/capi-dispatcher/config"
)

// What `config check` refuses, the chart refuses when it is rendered, and not
// only the pod that cannot start; what it takes, the chart takes.
func TestTheChartRefusesWhatTheProgramRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ config, refused string }{
		{"{graph: {timeout: 16s}}", "nats.ack_wait"},
		{"{graph: {timeout: 15001ms}}", "nats.ack_wait"},
		{"{graph: {timeout: 15s}}", ""},
		{"{graph: {timeout: 20s}, nats: {ack_wait: 40s}}", ""},
		{"{graph: {timeout: 3m}, nats: {ack_wait: 10m}, dedupe: {takeover: 1h}}", "graph.timeout"},
		{"{graph: {timeout: 99ms}}", "graph.timeout"},
		{"{nats: {ack_wait: 61m}, dedupe: {takeover: 10h}}", "nats.ack_wait"},
		{"{nats: {ack_wait: 4m}}", "dedupe.takeover"},
		{"{nats: {ack_wait: 3m20s}}", ""},
		{"{dedupe: {window: 167h59m59.999s}}", "dedupe.window"},
		{"{dedupe: {window: 168h}}", ""},
		{"{dedupe: {takeover: 97h}}", "dedupe.takeover"},
		{"{nats: {max_age: 100h}}", "nats.max_age"},
		{"{nats: {max_age: 0s, dead_letter_max_age: 0s}}", ""},
		{"{nats: {dead_letter_max_age: 59m}}", "nats.dead_letter_max_age"},
		{"{batch: {linger: 61s}}", "batch.linger"},
		{"{batch: {gather: 2m}}", "batch.gather"},
		{"{delivery: {max_wait: 999ms}}", "delivery.max_wait"},
		{"{delivery: {retry: {budget: 11m}}}", "delivery.retry.budget"},
		{"{delivery: {retry: {initial: 40s}}}", "delivery.retry.max"},
		{"{delivery: {retry: {initial: 0s}}}", "delivery.retry.initial"},
		{"{delivery: {park: {initial: 999ms}}}", "delivery.park.initial"},
		{"{delivery: {park: {max: 10s}}}", "delivery.park.max"},
		{"{delivery: {senders: 1}}", "delivery.senders_per_dataset"},
		{"{delivery: {senders: 3, senders_per_dataset: 4}}", "delivery.senders_per_dataset"},
		{"{redis: {mode: sentinel, url: 'redis://a,redis://b'}}", "redis.sentinel_master"},
		{"{redis: {mode: sentinel, url: 'redis://a,redis://b', sentinel_master: m}}", ""},
		{"{redis: {url: 'redis://a,redis://b'}}", "redis.url"},
		{"{nats: {creds_file: /a, token_file: /b}}", "nats"},
		{"{nats: {user: me}}", "nats.user"},
		{"{nats: {tls: {cert_file: /c}}}", "nats.tls.cert_file"},
		{"{redis: {tls: {key_file: /c}}}", "redis.tls.cert_file"},
		{"{nats: {dead_letter_subject: capi.events.dead}}", "nats.dead_letter_subject"},
		{"{nats: {subject: capi.parkedevents}}", ""},
	} {
		t.Run(tc.config, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "config.yaml")
			require.NoError(t, os.WriteFile(file, []byte(tc.config), 0o600))
			_, errProgram := config.Load(file, nil)
			_, errChart := tryRender(t, "config: "+tc.config)
			if tc.refused == "" {
				require.NoError(t, errProgram)
				require.NoError(t, errChart)
				return
			}
			require.ErrorContains(t, errProgram, tc.refused)
			require.ErrorContains(t, errChart, "config."+tc.refused)
		})
	}
}

func TestTheChartReportsAllContradictionsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := tryRender(t, "config: {graph: {timeout: 20s}, redis: {mode: sentinel}, dedupe: {window: 24h}}")
	for _, want := range []string{"config.nats.ack_wait: ", "config.redis.sentinel_master: ", "config.dedupe.window: "} {
		require.ErrorContains(t, err, want)
	}
}

// The defaults that the chart compares with are the program's.
func TestTheChartKnowsTheDefaults(t *testing.T) {
	t.Parallel()
	text := readFile(t, chartDir+"/templates/_check.tpl")
	_, presets, ok := strings.Cut(text, "range $key, $preset := dict ")
	require.True(t, ok)
	presets, _, _ = strings.Cut(presets, "-}}")
	cfg := config.Default()
	wrote, err := cfg.YAML()
	require.NoError(t, err)
	var defaults map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(wrote), &defaults))
	pairs := regexp.MustCompile(`"([a-z_.]+)" "([^"]+)"`).FindAllStringSubmatch(presets, -1)
	require.Len(t, pairs, 14)
	for _, pair := range pairs {
		require.Equal(t, valueAt(t, defaults, pair[1]), mustDuration(t, pair[2]), pair[1])
	}
	for key, preset := range map[string]string{
		"delivery.senders": `"senders" | default 32`, "delivery.senders_per_dataset": `"senders_per_dataset" | default 2`,
	} {
		require.Contains(t, text, preset, key)
	}
	require.Equal(t, []int{32, 2}, []int{cfg.Delivery.Senders, cfg.Delivery.SendersPerDataset})
	for key, preset := range map[string]string{
		"subject": cfg.NATS.Subject, "parked_subject": cfg.NATS.ParkedSubject, "dead_letter_subject": cfg.NATS.DeadLetterSubject,
	} {
		require.Contains(t, text, `"`+key+`" | default "`+preset+`"`)
	}
}

// valueAt is the duration that a key has.
func valueAt(t *testing.T, tree map[string]any, key string) time.Duration {
	t.Helper()
	section, rest, deeper := strings.Cut(key, ".")
	if deeper {
		below, ok := tree[section].(map[string]any)
		require.True(t, ok, key)
		return valueAt(t, below, rest)
	}
	text, ok := tree[section].(string)
	require.True(t, ok, key)
	return mustDuration(t, text)
}

func mustDuration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	require.NoError(t, err)
	return d
}
