package test_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/config"
)

// Wrong values are refused when the chart is rendered, with a message that
// names the key.
func TestWrongValuesAreRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ values, want string }{
		{"replicaCuont: 3", "replicaCuont"},
		{"replicaCount: two", "/replicaCount"},
		{"replicaCount: -1", "/replicaCount"},
		{"image: {tga: x}", "tga"},
		{"image: {digest: abc}", "/image/digest"},
		{"image: {pullPolicy: Sometimes}", "/image/pullPolicy"},
		{"config: {nats: {urll: x}}", "urll"},
		{"config: {nats: {url: 'http://nats'}}", "/config/nats/url"},
		{"config: {nats: {url: 'nats://user:secret@nats'}}", "/config/nats/url"},
		{"config: {redis: {url: 'redis://:secret@redis'}}", "/config/redis/url"},
		{"config: {nats: {replicas: 7}}", "/config/nats/replicas"},
		{"config: {nats: {stream: 'a.b'}}", "/config/nats/stream"},
		{"config: {nats: {max_age: 8d}}", "/config/nats/max_age"},
		{"config: {nats: {max_bytes: 50GiB}}", "/config/nats/max_bytes"},
		{"config: {nats: {dead_letter_max_age: 90}}", "/config/nats/dead_letter_max_age"},
		{"config: {nats: {dead_letter_max_bytes: -1}}", "/config/nats/dead_letter_max_bytes"},
		{"config: {delivery: {drain_timeout: 25}}", "/config/delivery/drain_timeout"},
		{"config: {delivery: {drain_timeout: soon}}", "/config/delivery/drain_timeout"},
		{"config: {delivery: {on_unknown: hope}}", "/config/delivery/on_unknown"},
		{"config: {batch: {max_events: 1001}}", "/config/batch/max_events"},
		{"config: {graph: {version: '26'}}", "/config/graph/version"},
		{"config: {datasets: {abc: {}}}", "/config/datasets"},
		{"config: {datasets: {'1': {agent: x}}}", "agent"},
		{"config: {assets: {pages: {'1': {dataset: 123}}}}", "/config/assets/pages/1/dataset"},
		{"config: {metrics: {datasets: 100001}}", "/config/metrics/datasets"},
		{"config: {admin: {address: '127.0.0.1:8080'}}", "/config/admin/address"},
		{"config: {admin: {address: 'localhost:8080'}}", "/config/admin/address"},
		{"config: {log: {level: loud}}", "/config/log/level"},
		{"tokens: [{secretName: x}]", "/tokens/0"},
		{"tokens: [{name: x, items: [{key: token, path: my-shop}]}]", "/tokens/0/items/0/path"},
		{"tokens: []", "name a Secret with access tokens"},
		{"secrets: {natsPasword: {name: x}}", "natsPasword"},
		{"secrets: {natsCreds: {name: x, value: y}}", "value"},
		{"secrets: {natsPassword: {name: x}}", "config.nats.user is empty"},
		{"secrets: {natsCreds: {name: x}}\nconfig: {nats: {creds_file: /x}}", "config.nats.creds_file is set by the chart, from secrets"},
		{"secrets: {natsURL: {name: x}}", "networkPolicy.nats.ports: name the ports"},
		{"secrets: {redisURL: {name: x}}", "networkPolicy.redis.ports: name the ports"},
		{"streams: {owner: operator}", "/streams/owner"},
		{"streams: {owner: job}\nconfig: {nats: {manage: true}}", "config.nats.manage is set by the chart, from streams.owner"},
		{"terminationGracePeriodSeconds: 30", "has to be 35 or more"},
		{"config: {delivery: {drain_timeout: 2m}}\nterminationGracePeriodSeconds: 120", "has to be 130 or more"},
		{"resources: {limits: {memory: 1GB}}", "is not a size like 256Mi"},
		{"memoryLimitPercent: 120", "/memoryLimitPercent"},
		{"extraEnv: [{name: A, value: 5}]", "/extraEnv/0/value"},
		{"otlp: {endpoint: 'otel:4317'}", "/otlp/endpoint"},
		{"otlp: {protocol: http}", "/otlp/protocol"},
		{"podDisruptionBudget: {minAvailable: 1}", "minAvailable"},
		{"podDisruptionBudget: {maxUnavailable: 0}", "/podDisruptionBudget/maxUnavailable"},
		{"autoscaling: {enabled: true}\nkeda: {enabled: true}", "autoscaling.enabled, keda.enabled: choose one"},
		{"keda: {minReplicaCount: 9}", "keda: the fewest workers (9) are more than the most (6)"},
		{"autoscaling: {minReplicas: 9}", "autoscaling: the fewest workers (9)"},
		{"keda: {enabled: true, minReplicaCount: 0}", "streams.owner"},
		{"keda: {monitoringEndpoint: 'http://nats:8222'}", "/keda/monitoringEndpoint"},
		{"keda: {maxReplicas: 3}", "maxReplicas"},
		{"podMonitor: {enabled: true}\nserviceMonitor: {enabled: true}", "podMonitor.enabled, serviceMonitor.enabled: choose one"},
		{"podMonitor: {enabled: true}", "podMonitor.enabled: the NetworkPolicy lets nobody in"},
		{"serviceMonitor: {enabled: true}", "serviceMonitor.enabled: the NetworkPolicy lets nobody in"},
		{"podMonitor: {interval: 30}", "/podMonitor/interval"},
		{"prometheusRule: {alerts: {slwo: {enabled: false}}}", "slwo"},
		{"prometheusRule: {alerts: {stuck: {threshold: 5}}}", "threshold"},
		{"prometheusRule: {alerts: {throttled: {for: soon}}}", "/prometheusRule/alerts/throttled/for"},
		{"networkPolicy: {nats: {ports: [nats]}}", "/networkPolicy/nats/ports/0"},
		{"networkPolicy: {egres: []}", "egres"},
		{"topologySpreadConstraints: [{topologyKey: zone}]", "/topologySpreadConstraints/0"},
		{"probes: {liveness: {initialDelaySeconds: 5}}", "initialDelaySeconds"},
		{"dashboard: {labels: [a]}", "/dashboard/labels"},
		{"tests: {enabled: 'yes'}", "/tests/enabled"},
	} {
		t.Run(strings.ReplaceAll(tc.values, "\n", ", "), func(t *testing.T) {
			t.Parallel()
			_, err := tryRender(t, tc.values)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

// schemaNode is what the tests need of a schema.
type schemaNode struct {
	Type                 any                    `json:"type"`
	Ref                  string                 `json:"$ref"`
	Properties           map[string]*schemaNode `json:"properties"`
	Definitions          map[string]*schemaNode `json:"definitions"`
	PatternProperties    map[string]*schemaNode `json:"patternProperties"`
	AdditionalProperties json.RawMessage        `json:"additionalProperties"`
	Items                *schemaNode            `json:"items"`
}

func schema(t *testing.T) *schemaNode {
	t.Helper()
	var root schemaNode
	require.NoError(t, json.Unmarshal([]byte(readFile(t, chartDir+"/values.schema.json")), &root))
	return &root
}

// keys lists the keys of the configuration that a schema knows.
func (s *schemaNode) keys(root *schemaNode, prefix string) (all []string) {
	if s.Ref != "" {
		s = root.Definitions[strings.TrimPrefix(s.Ref, "#/definitions/")]
	}
	for _, entry := range s.PatternProperties {
		return entry.keys(root, prefix+".*")
	}
	if len(s.Properties) == 0 {
		return []string{strings.TrimPrefix(prefix, ".")}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		all = append(all, s.Properties[name].keys(root, prefix+"."+name)...)
	}
	return all
}

// The schema knows the program's keys, all of them and no others.
func TestTheSchemaKnowsTheConfiguration(t *testing.T) {
	t.Parallel()
	root := schema(t)
	require.ElementsMatch(t, config.Keys(), root.Properties["config"].keys(root, ""))
}

// Every level that is the chart's own refuses unknown keys.
func TestTheSchemaIsStrict(t *testing.T) {
	t.Parallel()
	root := schema(t)
	var walk func(path string, s *schemaNode)
	walk = func(path string, s *schemaNode) {
		if path != "/global" && len(s.Properties)+len(s.PatternProperties) > 0 {
			require.Equal(t, "false", string(s.AdditionalProperties), path)
		}
		for name, child := range s.Properties {
			walk(path+"/"+name, child)
		}
		for name, child := range s.Definitions {
			walk(path+"/definitions/"+name, child)
		}
		for pattern, child := range s.PatternProperties {
			walk(path+"/"+pattern, child)
		}
		if s.Items != nil {
			walk(path+"/items", s.Items)
		}
	}
	walk("", root)
}
