package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
)

// load reads a configuration file with this text, and an environment.
func load(t *testing.T, text string, environ ...string) (*config.Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return config.Load(file, environ)
}

func TestDefaultsAreSound(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load("", nil)
	require.NoError(t, err)
	require.Equal(t, config.Default(), *cfg)
	cfg, err = load(t, "")
	require.NoError(t, err)
	require.Equal(t, config.Default(), *cfg)
}

func TestFileAndEnvironment(t *testing.T) {
	t.Parallel()
	cfg, err := load(t, `
nats:
  url: nats://a:4222, nats://b:4222
  replicas: 3
  tls: {ca_file: /ca.pem}
batch:
  max_bytes: 500KB
  linger: 1s
delivery:
  senders: 8
  retry: {budget: 10s}
datasets:
  "1234567890123456": {partner_agent: acme}
  77: {test_event_code: TEST1}
assets:
  pages:
    1061: {dataset: 1234567890123456}
`, "CAPI_DELIVERY_SENDERS=64", "CAPI_DELIVERY_ON_UNKNOWN=dead_letter", "CAPI_NATS_MANAGE=false", "CAPI_BATCH_LINGER=20ms",
		"CAPI_REDIS_URL=redis://user:hush@r:6379/1", "CAPI_DISPATCHER_SERVICE_HOST=10.0.0.1", "CAPI_DISPATCHER_PORT=tcp://10.0.0.1:80", "HOME=/root")
	require.NoError(t, err)
	require.Equal(t, []string{"nats://a:4222", "nats://b:4222"}, cfg.NATS.URL.List())
	require.Equal(t, 3, cfg.NATS.Replicas)
	require.Equal(t, "/ca.pem", cfg.NATS.TLS.CAFile)
	require.Equal(t, "CAPI", cfg.NATS.Stream, "what is not set keeps its default")
	require.Equal(t, 500_000, cfg.Batch.MaxBytes)
	require.Equal(t, 20*time.Millisecond, cfg.Batch.Linger, "the environment beats the file")
	require.Equal(t, 64, cfg.Delivery.Senders)
	require.Equal(t, 10*time.Second, cfg.Delivery.Retry.Budget)
	require.Equal(t, 500*time.Millisecond, cfg.Delivery.Retry.Initial)
	require.Equal(t, dispatcher.DeadLetter, cfg.Delivery.OnUnknown)
	require.False(t, cfg.NATS.Manage)
	require.Equal(t, "acme", cfg.Datasets["1234567890123456"].PartnerAgent)
	require.Equal(t, "TEST1", cfg.Datasets["77"].TestEventCode)
	require.Equal(t, "1234567890123456", cfg.Assets.Pages["1061"].Dataset)
	require.Equal(t, "redis://user:hush@r:6379/1", string(cfg.Redis.URL))
}

// Every fault at once, each with its key.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text    string
		environ []string
		want    []string
	}{
		"unknown keys": {"nats: {urll: x}\nbatches: {}\nbatch: {max_event: 1}\ndatasets: {\"1\": {agent: x}}", nil, []string{
			"batch.max_event: there is no such key; did you mean batch.max_events?",
			"batches: there is no such key; did you mean batch?",
			"datasets.1.agent: there is no such key; datasets.1 has partner_agent, test_event_code",
			"nats.urll: there is no such key; did you mean nats.url?",
		}},
		"keys of other sections, and of none": {"nats: {linger: 5ms}\nfoo: 1\nlog: {color: true}\nredis: {pool: 3}\ngraph: {versionn: v26.0}", nil, []string{
			"foo: there is no such key; there are nats, redis, dedupe, ",
			"graph.versionn: there is no such key; did you mean graph.version?",
			"log.color: there is no such key; log has level, format",
			"nats.linger: there is no such key; did you mean batch.linger?",
			"redis.pool: there is no such key; redis has url, ",
		}},
		"faults of every kind": {"nats: {urll: x, replicas: 9, ack_wait: 30}\ngraph: {timeout: 20s}\nlog: {level: loud}\ndedupe: {window: 1h}", []string{"CAPI_TOKEN=x"}, []string{
			"CAPI_TOKEN: there is no such environment variable; a variable's name is CAPI_ and a key in capitals", "dedupe.window: ",
			`log.level: "loud" is neither`, "nats.ack_wait: 30 has no unit", "nats.replicas: 9 is not between", "nats.urll: there is no such key",
		}},
		"unknown variable": {"", []string{"CAPI_NATS_ULR=x"}, []string{"CAPI_NATS_ULR: there is no such environment variable; did you mean CAPI_NATS_URL?"}},
		"wrong types": {"nats: {replicas: many}\nbatch: {linger: 5}\nredis: [1]\nlog: {level: [1]}", []string{"CAPI_DELIVERY_DRAIN_TIMEOUT=soon"}, []string{
			"batch.linger: 5 has no unit", `delivery.drain_timeout: "soon" is not a duration`, "log.level: expected", `nats.replicas: "many" is not a number`, "redis: expected",
		}},
		"wrong values": {"nats: {replicas: 9, stream: a.b, url: http://x, user: u}\ngraph: {version: '26', url: x}\nlog: {level: loud, format: xml}\nadmin: {address: here}\nmetrics: {datasets: -1}\n" +
			"dedupe: {key: name, window: 1h}\nredis: {mode: magic}\ndatasets: {abc: {}}\nassets: {pages: {\"1\": {dataset: x}}}", nil, []string{
			"admin.address: ", "assets.pages.1.dataset: ", "datasets.abc: ", "dedupe.key: ", "dedupe.window: ", "graph.url: ", "graph.version: ",
			"log.format: ", "log.level: ", "metrics.datasets: -1 is not between 0 and 100000", "nats.replicas: ", "nats.stream: ", "nats.url: ", "nats.user, password_file: ", "redis.mode: ",
		}},
		"rules of events": {"graph: {messaging_extras: keep, unusable_personal_data: guess, default_action_source: web}", nil, []string{
			`graph.default_action_source: "web" is not "email", "website"`, `graph.messaging_extras: "keep" is neither "remove" nor "refuse"`,
			`graph.unusable_personal_data: "guess" is neither "remove" nor "refuse"`,
		}},
		"accounts": {"graph: {foreign_accounts: keep, restricted_countries: [DE, Japan]}\nassets: {pages: {\"1\": {country: de}}}", nil, []string{
			`assets.pages.1.country: "de" is not a country`, `graph.foreign_accounts: "keep" is neither "warn", "refuse" nor "reroute"`,
			`graph.restricted_countries: "Japan" is not a country`,
		}},
		"contradictions": {"graph: {timeout: 20s}\nnats: {ack_wait: 30s}", nil, []string{
			"nats.ack_wait: 30s is less than twice graph.timeout (20s)",
		}},
		"secrets in the file": {"nats: {url: 'nats://user:hush@a:4222'}\nredis: {url: 'redis://:hush@a'}", nil, []string{
			"nats.url: holds credentials", "redis.url: holds credentials",
		}},
		"batches that Meta does not take": {"batch: {max_events: 1001}", nil, []string{"batch.max_events: 1001 is not between 1 and the 1000 that Meta takes"}},
		"batches of nothing":              {"batch: {max_events: 0}", nil, []string{"batch.max_events: 0 is less than 1"}},
		"too little kept": {"nats: {max_age: 167h, max_bytes: 9MB, dead_letter_max_age: 59m, dead_letter_max_bytes: -1}", nil, []string{
			"nats.dead_letter_max_age: 59m0s is less than 1h0m0s", "nats.dead_letter_max_bytes: -1 is less than 10MB",
			"nats.max_age: 167h0m0s is less than the 168h0m0s for which Meta takes events", "nats.max_bytes: 9000000 is less than 10MB",
		}},
		"a broken address": {"", []string{"CAPI_NATS_URL=nats://u:hush%zz@a:4222", "CAPI_REDIS_URL=redis://u:hush/1@a"}, []string{
			"nats.url: is not of the form scheme://host:port; in a user name or password, each of %", "redis.url: is not of the form",
		}},
		"an address without a scheme": {"", []string{"CAPI_NATS_URL=hush@a:4222", "CAPI_REDIS_URL=user:hush@a"}, []string{
			"nats.url: [not a URL] does not begin with nats://", "redis.url: [not a URL] does not begin with redis://",
		}},
		"two ways to log in":          {"nats: {creds_file: /a, token_file: /b}", nil, []string{"nats.creds_file, nkey_seed_file, user, token_file: choose one"}},
		"several addresses, one mode": {"redis: {url: 'redis://a,redis://b'}", nil, []string{"redis.url: names several servers"}},
		"sentinel without a master":   {"redis: {mode: sentinel}", nil, []string{"redis.sentinel_master: is empty"}},
		"half a certificate":          {"redis: {tls: {cert_file: /c}}", nil, []string{"redis.tls.cert_file, tls.key_file: one needs the other"}},
		"no prefix for answers":       {"nats: {inbox_prefix: ''}", nil, []string{"nats.inbox_prefix: \"\" is not a subject"}},
		"a prefix of everything":      {"nats: {inbox_prefix: '_INBOX.>'}", nil, []string{"nats.inbox_prefix: \"_INBOX.>\" is not a subject of words joined by dots, without wildcards"}},
		"tokens in the clear":         {"graph: {url: 'http://graph.example:8090'}", nil, []string{"graph.url: http://graph.example:8090 would send access tokens over the network in the clear; use https://, or set graph.insecure to true"}},
		"empty address":               {"", []string{"CAPI_NATS_URL="}, []string{"nats.url: is empty"}},
		"overlapping subjects":        {"nats: {dead_letter_subject: capi.events.dead}", nil, []string{"nats.dead_letter_subject: \"capi.events.dead\" lies within subject"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, tc.text, tc.environ...)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "hush")
			lines := strings.Split(err.Error(), "\n")
			require.Len(t, lines, len(tc.want), "%v", err)
			for i, want := range tc.want {
				require.Contains(t, lines[i], want)
			}
		})
	}
}

func TestWhatStreamsKeep(t *testing.T) {
	t.Parallel()
	cfg, err := load(t, "nats: {max_age: 168h, max_bytes: 50GB, dead_letter_max_age: 0s}", "CAPI_NATS_DEAD_LETTER_MAX_BYTES=250MB")
	require.NoError(t, err)
	require.Equal(t, 168*time.Hour, cfg.NATS.MaxAge)
	require.Equal(t, 50_000_000_000, cfg.NATS.MaxBytes)
	require.Zero(t, cfg.NATS.DeadLetterMaxAge, "for ever")
	require.Equal(t, 250_000_000, cfg.NATS.DeadLetterMaxBytes)
	cfg, err = load(t, "")
	require.NoError(t, err)
	require.Zero(t, cfg.NATS.MaxBytes, "events are refused by no limit that nobody has set")
}

// Who reads that a setting of the streams is to be changed finds it in the file.
func TestSettingsOfStreamsAreNamedByTheirKeys(t *testing.T) {
	t.Parallel()
	cfg, err := load(t, "nats: {manage: false}")
	require.NoError(t, err)
	require.Contains(t, config.Keys(), cfg.NATS.Setting("manage"))
	_, err = load(t, "nats: {section: x}")
	require.ErrorContains(t, err, "nats.section: there is no such key")
}

func TestNotYAML(t *testing.T) {
	t.Parallel()
	_, err := load(t, "nats: [")
	require.ErrorContains(t, err, "is not YAML")
	_, err = config.Load(filepath.Join(t.TempDir(), "nowhere.yaml"), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestPrintingHidesSecretsAndReadsBack(t *testing.T) {
	t.Parallel()
	cfg, err := load(t, "batch: {linger: 1s}\ndatasets: {\"7\": {partner_agent: acme}}", "CAPI_NATS_URL=nats://token-hush@a:4222,nats://u:hush@b:4222")
	require.NoError(t, err)
	text, err := cfg.YAML()
	require.NoError(t, err)
	require.NotContains(t, text, "hush")
	require.Contains(t, text, "nats://[redacted]@a:4222,nats://[redacted]@b:4222")
	require.Contains(t, text, "linger: 1s")

	cfg.NATS.URL = "nats://a:4222"
	text, err = cfg.YAML()
	require.NoError(t, err)
	back, err := load(t, text)
	require.NoError(t, err)
	again, err := back.YAML()
	require.NoError(t, err)
	require.Equal(t, text, again)
}

// docs/configuration.md names every key, with its default, and no other.
func TestTheDocumentationIsComplete(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "docs", "configuration.md"))
	require.NoError(t, err)
	documented := make(map[string]string)
	var order []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_.*]+)` \\|(.*?)\\| (.+) \\|$").FindAllStringSubmatch(string(text), -1) {
		documented[row[1]] = strings.Trim(strings.TrimSpace(row[2]), "`")
		order = append(order, row[1])
		require.NotEmpty(t, row[3])
	}
	require.Equal(t, config.Keys(), order, "the keys, in the order of the file")
	for key, value := range defaults(t) {
		require.Equal(t, value, documented[key], "default of %s", key)
	}
}

// defaults flattens the default configuration to its keys and texts.
func defaults(t *testing.T) map[string]string {
	t.Helper()
	cfg := config.Default()
	text, err := cfg.YAML()
	require.NoError(t, err)
	var tree yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(text), &tree))
	flat := make(map[string]string)
	var walk func(prefix string, node *yaml.Node)
	walk = func(prefix string, node *yaml.Node) {
		for i := 0; i+1 < len(node.Content); i += 2 {
			key, value := prefix+node.Content[i].Value, node.Content[i+1]
			switch value.Kind {
			case yaml.ScalarNode:
				flat[key] = shortDuration(value.Value)
			case yaml.SequenceNode:
				var words []string
				for _, element := range value.Content {
					words = append(words, element.Value)
				}
				flat[key] = strings.Join(words, ", ")
			default:
				walk(key+".", value)
			}
		}
	}
	walk("", tree.Content[0])
	return flat
}

// shortDuration writes 8h0m0s as people do.
func shortDuration(text string) string {
	if _, err := time.ParseDuration(text); err != nil {
		return text
	}
	text = regexp.MustCompile(`([hm])0s$`).ReplaceAllString(text, "$1")
	return regexp.MustCompile(`h0m$`).ReplaceAllString(text, "h")
}

func TestEveryExampleInTheDocumentationLoads(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"configuration.md"} {
		text, err := os.ReadFile(filepath.Join("..", "docs", name))
		require.NoError(t, err)
		examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
		require.NotEmpty(t, examples)
		for _, example := range examples {
			_, err := load(t, example[1])
			require.NoError(t, err)
		}
	}
}

func TestEnvName(t *testing.T) {
	t.Parallel()
	require.Equal(t, "CAPI_DELIVERY_RETRY_BUDGET", config.EnvName("delivery.retry.budget"))
}

// FuzzLoad feeds the loader with files: it must not panic, and what it accepts
// must print and load again to the same configuration.
func FuzzLoad(f *testing.F) {
	f.Add("nats: {replicas: 3}")
	f.Add("datasets: {1: {partner_agent: a}}")
	f.Add("batch: 1\nnats:\n")
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := load(t, text)
		if err != nil {
			return
		}
		printed, err := cfg.YAML()
		require.NoError(t, err)
		_, err = load(t, printed)
		require.NoError(t, err, printed)
	})
}

// What is printed as JSON is what is printed as YAML.
func TestJSONSaysWhatYAMLSays(t *testing.T) {
	t.Parallel()
	cfg, err := load(t, "datasets: {\"1234567890123456789\": {partner_agent: <acme>}}", "CAPI_REDIS_URL=redis://user:hush@r:6379/1")
	require.NoError(t, err)
	asYAML, err := cfg.YAML()
	require.NoError(t, err)
	asJSON, err := cfg.JSON()
	require.NoError(t, err)
	require.NotContains(t, asJSON, "hush")
	var one, other map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(asYAML), &one))
	require.NoError(t, yaml.Unmarshal([]byte(asJSON), &other), "JSON is YAML")
	require.Equal(t, one, other)
}
