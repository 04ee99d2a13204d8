package test_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// effects is what every value does: the key, as in the README, values that set
// it, and a text that comes into what is rendered by that. With ! before it,
// the text goes away.
var effects = []struct{ key, values, text string }{
	{"nameOverride", "nameOverride: sender", "name: shop-sender\n"},
	{"fullnameOverride", "fullnameOverride: sender", "name: sender\n"},
	{"commonLabels", "commonLabels: {team: ads}", "    team: ads\n"},
	{"global.imageRegistry", "global: {imageRegistry: mirror.example}", "image: mirror.example/capi-dispatcher/capi-dispatcher:"},
	{"global.imagePullSecrets", "global: {imagePullSecrets: [pull]}", "- name: pull\n"},
	{"image.registry", "image: {registry: own.example}", "image: own.example/capi-dispatcher/"},
	{"image.repository", "image: {repository: a/b}", "image: ghcr.io/a/b:"},
	{"image.tag", "image: {tag: v9}", "capi-dispatcher:v9\n"},
	{"image.digest", "image: {digest: 'sha256:" + digest + "'}", "image: ghcr.io/capi-dispatcher/capi-dispatcher@sha256:" + digest + "\n"},
	{"image.digest", "image: {tag: v9, digest: 'sha256:" + digest + "'}", "capi-dispatcher:v9@sha256:" + digest + "\n"},
	{"image.pullPolicy", "image: {pullPolicy: Always}", "imagePullPolicy: Always\n"},
	{"image.pullSecrets", "image: {pullSecrets: [pull]}\nglobal: {imagePullSecrets: [pull, more]}", "- name: pull\n        - name: more\n"},
	{"replicaCount", "replicaCount: 7", "replicas: 7\n"},
	{"replicaCount", "replicaCount: 0", "replicas: 0\n"},
	{"replicaCount", "replicaCount: null", "!replicas: "},
	{"config", "config: {dedupe: {window: 200h}}", "      window: 200h\n"},
	{"config.nats.url", "config: {nats: {url: 'tls://a:4444'}}", "port: 4444,"},
	{"config.redis.url", "config: {redis: {url: 'rediss://a:7777'}}", "url: rediss://a:7777\n"},
	{"config.admin.address", "config: {admin: {address: ':9090'}}", "containerPort: 9090,"},
	{"config.admin.address", "config: {admin: {address: '[::]:9090'}}", "containerPort: 9090,"},
	{"tokens", "tokens: [{name: a}, {name: b, items: [{key: t, path: '1'}]}]", "name: b\n"},
	{"tokens", "tokens: []\nextraVolumeMounts: [{name: x, mountPath: /etc/capi-dispatcher/tokens}]\nextraVolumes: [{name: x, emptyDir: {}}]", "on a volume of your own"},
	{"secrets.appSecret.name", "secrets: {appSecret: {name: s}}", "app_secret_file: /etc/capi-dispatcher/app-secret/app-secret\n"},
	{"secrets.appSecret.key", "secrets: {appSecret: {name: s, key: k}}", "app_secret_file: /etc/capi-dispatcher/app-secret/k\n"},
	{"secrets.natsCreds.name", "secrets: {natsCreds: {name: s}}", "creds_file: /etc/capi-dispatcher/nats-creds/user.creds\n"},
	{"secrets.natsCreds.key", "secrets: {natsCreds: {name: s, key: k}}", "creds_file: /etc/capi-dispatcher/nats-creds/k\n"},
	{"secrets.natsNKeySeed.name", "secrets: {natsNKeySeed: {name: s}}", "nkey_seed_file: /etc/capi-dispatcher/nats-nkey-seed/user.nk\n"},
	{"secrets.natsNKeySeed.key", "secrets: {natsNKeySeed: {name: s, key: k}}", "- {key: k, path: k}\n"},
	{"secrets.natsPassword.name", "config: {nats: {user: u}}\nsecrets: {natsPassword: {name: s}}", "password_file: /etc/capi-dispatcher/nats-password/password\n"},
	{"secrets.natsPassword.key", "config: {nats: {user: u}}\nsecrets: {natsPassword: {name: s, key: k}}", "- {key: k, path: k}\n"},
	{"secrets.natsToken.name", "secrets: {natsToken: {name: s}}", "token_file: /etc/capi-dispatcher/nats-token/token\n"},
	{"secrets.natsToken.key", "secrets: {natsToken: {name: s, key: k}}", "token_file: /etc/capi-dispatcher/nats-token/k\n"},
	{"secrets.natsTLS.name", "secrets: {natsTLS: {name: s}}", "ca_file: /etc/capi-dispatcher/nats-tls/ca.crt\n"},
	{"secrets.natsTLS.ca", "secrets: {natsTLS: {name: s, ca: k}}", "ca_file: /etc/capi-dispatcher/nats-tls/k\n"},
	{"secrets.natsTLS.cert", "secrets: {natsTLS: {name: s, cert: c, key: k}}", "cert_file: /etc/capi-dispatcher/nats-tls/c\n"},
	{"secrets.natsTLS.key", "secrets: {natsTLS: {name: s, cert: c, key: k}}", "key_file: /etc/capi-dispatcher/nats-tls/k\n"},
	{"secrets.natsURL.name", "secrets: {natsURL: {name: s}}\nnetworkPolicy: {nats: {ports: [4222]}}", "- name: CAPI_NATS_URL\n"},
	{"secrets.natsURL.key", "secrets: {natsURL: {name: s, key: k}}\nnetworkPolicy: {nats: {ports: [4222]}}", "key: k\n                  name: s\n"},
	{"secrets.redisPassword.name", "secrets: {redisPassword: {name: s}}", "password_file: /etc/capi-dispatcher/redis-password/password\n"},
	{"secrets.redisPassword.key", "secrets: {redisPassword: {name: s, key: k}}", "password_file: /etc/capi-dispatcher/redis-password/k\n"},
	{"secrets.redisSentinelPassword.name", "secrets: {redisSentinelPassword: {name: s}}", "sentinel_password_file: /etc/capi-dispatcher/redis-sentinel-password/password\n"},
	{"secrets.redisSentinelPassword.key", "secrets: {redisSentinelPassword: {name: s, key: k}}", "- {key: k, path: k}\n"},
	{"secrets.redisTLS.name", "secrets: {redisTLS: {name: s}}", "ca_file: /etc/capi-dispatcher/redis-tls/ca.crt\n"},
	{"secrets.redisTLS.ca", "secrets: {redisTLS: {name: s, ca: k}}", "ca_file: /etc/capi-dispatcher/redis-tls/k\n"},
	{"secrets.redisTLS.cert", "secrets: {redisTLS: {name: s, cert: c, key: k}}", "cert_file: /etc/capi-dispatcher/redis-tls/c\n"},
	{"secrets.redisTLS.key", "secrets: {redisTLS: {name: s, cert: c, key: k}}", "key_file: /etc/capi-dispatcher/redis-tls/k\n"},
	{"secrets.redisURL.name", "secrets: {redisURL: {name: s}}\nnetworkPolicy: {redis: {ports: [6379]}}", "- name: CAPI_REDIS_URL\n"},
	{"secrets.redisURL.key", "secrets: {redisURL: {name: s, key: k}}\nnetworkPolicy: {redis: {ports: [6379]}}", "key: k\n                  name: s\n"},
	{"streams.owner", "streams: {owner: job}", "args: [\"stream\",\"ensure\","},
	{"streams.owner", "streams: {owner: nack}", "kind: Stream\n"},
	{"streams.owner", "streams: {owner: external}", "manage: false\n"},
	{"streams.job.natsCreds.name", "streams: {owner: job, job: {natsCreds: {name: admin}}}", "secretName: admin\n"},
	{"streams.job.natsCreds.key", "streams: {owner: job, job: {natsCreds: {name: admin, key: k}}}", "creds_file: /etc/capi-dispatcher/nats-creds/k\n"},
	{"streams.job.backoffLimit", "streams: {owner: job, job: {backoffLimit: 1}}", "backoffLimit: 1\n"},
	{"streams.job.activeDeadlineSeconds", "streams: {owner: job, job: {activeDeadlineSeconds: 77}}", "activeDeadlineSeconds: 77\n"},
	{"streams.job.resources", "streams: {owner: job, job: {resources: {limits: {memory: 99Mi}}}}", "memory: 99Mi\n"},
	{"streams.nack.account", "streams: {owner: nack, nack: {account: ads}}", "account: ads\n"},
	{"streams.nack.preventDelete", "streams: {owner: nack, nack: {preventDelete: false}}", "preventDelete: false\n"},
	{"otlp.endpoint", "otlp: {endpoint: 'http://otel.{{ .Release.Namespace }}:4318'}", "value: http://otel.capi:4318\n"},
	{"otlp.protocol", "otlp: {endpoint: 'http://otel:4317', protocol: grpc}", "value: grpc\n"},
	{"otlp.headers.name", "otlp: {headers: {name: s}}", "key: headers\n"},
	{"otlp.headers.key", "otlp: {headers: {name: s, key: k}}", "key: k\n                  name: s\n"},
	{"otlp.resourceAttributes", "otlp: {resourceAttributes: {team: ads}}", ",team=ads\n"},
	{"extraEnv", "extraEnv: [{name: A, value: '{{ .Release.Name }}'}]", "value: 'shop'\n"},
	{"extraEnv", "extraEnv: [{name: GOMEMLIMIT, value: 1GiB}, {name: OTEL_RESOURCE_ATTRIBUTES, value: a=b}]", "!214748364"},
	{"extraEnv", "extraEnv: [{name: OTEL_RESOURCE_ATTRIBUTES, value: a=b}]", "!k8s.pod.name"},
	{"extraEnvFrom", "extraEnvFrom: [{configMapRef: {name: more}}]", "envFrom:\n"},
	{"extraVolumes", "extraVolumes: [{name: scratch, emptyDir: {}}]", "name: scratch\n"},
	{"extraVolumeMounts", "extraVolumeMounts: [{name: scratch, mountPath: /scratch}]", "mountPath: /scratch\n"},
	{"initContainers", "initContainers: [{name: first, image: a}]", "initContainers:\n"},
	{"extraContainers", "extraContainers: [{name: beside, image: a}]", "name: beside\n"},
	{"extraObjects", "extraObjects: [{apiVersion: v1, kind: Secret, metadata: {name: 'of-{{ .Release.Name }}'}}]", "name: of-shop\n"},
	{"extraObjects", "extraObjects: [\"kind: Secret\\nmetadata: {name: of-{{ .Release.Name }}}\"]", "{name: of-shop}\n"},
	{"resources", "resources: {limits: {cpu: 2}}", "cpu: 2\n"},
	{"memoryLimitPercent", "memoryLimitPercent: 50", "value: \"134217728\"\n"},
	{"memoryLimitPercent", "memoryLimitPercent: 0", "!GOMEMLIMIT"},
	{"probes.startup.periodSeconds", "probes: {startup: {periodSeconds: 77}}", "periodSeconds: 77\n"},
	{"probes.startup.timeoutSeconds", "probes: {startup: {timeoutSeconds: 77}}", "timeoutSeconds: 77\n"},
	{"probes.startup.failureThreshold", "probes: {startup: {failureThreshold: 77}}", "failureThreshold: 77\n"},
	{"probes.liveness.periodSeconds", "probes: {liveness: {periodSeconds: 77}}", "periodSeconds: 77\n"},
	{"probes.liveness.timeoutSeconds", "probes: {liveness: {timeoutSeconds: 77}}", "timeoutSeconds: 77\n"},
	{"probes.liveness.failureThreshold", "probes: {liveness: {failureThreshold: 77}}", "failureThreshold: 77\n"},
	{"probes.readiness.periodSeconds", "probes: {readiness: {periodSeconds: 77}}", "periodSeconds: 77\n"},
	{"probes.readiness.timeoutSeconds", "probes: {readiness: {timeoutSeconds: 77}}", "timeoutSeconds: 77\n"},
	{"probes.readiness.failureThreshold", "probes: {readiness: {failureThreshold: 77}}", "failureThreshold: 77\n"},
	{"terminationGracePeriodSeconds", "terminationGracePeriodSeconds: 99", "terminationGracePeriodSeconds: 99\n"},
	{"strategy", "strategy: {type: Recreate, rollingUpdate: null}", "type: Recreate\n"},
	{"minReadySeconds", "minReadySeconds: 77", "minReadySeconds: 77\n"},
	{"revisionHistoryLimit", "revisionHistoryLimit: 77", "revisionHistoryLimit: 77\n"},
	{"serviceAccount.create", "serviceAccount: {create: false}", "serviceAccountName: default\n"},
	{"serviceAccount.create", "serviceAccount: {create: false}", "!kind: ServiceAccount"},
	{"serviceAccount.name", "serviceAccount: {name: sender}", "serviceAccountName: sender\n"},
	{"serviceAccount.annotations", "serviceAccount: {annotations: {role: arn}}", "role: arn\n"},
	{"podSecurityContext", "podSecurityContext: {runAsUser: 7}", "runAsUser: 7\n"},
	{"securityContext", "securityContext: {runAsUser: 7}", "runAsUser: 7\n"},
	{"deploymentAnnotations", "deploymentAnnotations: {a: b7}", "a: b7\n"},
	{"podAnnotations", "podAnnotations: {a: b7}", "a: b7\n"},
	{"podLabels", "podLabels: {a: b7}", "a: b7\n"},
	{"nodeSelector", "nodeSelector: {disk: fast}", "disk: fast\n"},
	{"tolerations", "tolerations: [{key: spot, operator: Exists}]", "key: spot\n"},
	{"affinity", "affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}}", "podAntiAffinity:"},
	{"topologySpreadConstraints", "topologySpreadConstraints: [{topologyKey: rack, maxSkew: 2, whenUnsatisfiable: DoNotSchedule}]", "topologyKey: rack\n"},
	{"topologySpreadConstraints", "topologySpreadConstraints: []", "!topologySpreadConstraints"},
	{"priorityClassName", "priorityClassName: high", "priorityClassName: high\n"},
	{"runtimeClassName", "runtimeClassName: gvisor", "runtimeClassName: gvisor\n"},
	{"schedulerName", "schedulerName: own", "schedulerName: own\n"},
	{"dnsPolicy", "dnsPolicy: Default", "dnsPolicy: Default\n"},
	{"dnsConfig", "dnsConfig: {options: [{name: ndots, value: '1'}]}", "value: \"1\"\n"},
	{"hostAliases", "hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]", "hostAliases:"},
	{"podDisruptionBudget.enabled", "podDisruptionBudget: {enabled: false}", "!kind: PodDisruptionBudget"},
	{"podDisruptionBudget.maxUnavailable", "podDisruptionBudget: {maxUnavailable: 50%}", "maxUnavailable: 50%\n"},
	{"podDisruptionBudget.unhealthyPodEvictionPolicy", "podDisruptionBudget: {unhealthyPodEvictionPolicy: IfHealthyBudget}", "IfHealthyBudget\n"},
	{"autoscaling.enabled", "autoscaling: {enabled: true}", "kind: HorizontalPodAutoscaler"},
	{"autoscaling.enabled", "autoscaling: {enabled: true}", "!replicas: 2\n"},
	{"autoscaling.minReplicas", "autoscaling: {enabled: true, minReplicas: 3}", "minReplicas: 3\n"},
	{"autoscaling.maxReplicas", "autoscaling: {enabled: true, maxReplicas: 9}", "maxReplicas: 9\n"},
	{"autoscaling.targetCPUUtilizationPercentage", "autoscaling: {enabled: true, targetCPUUtilizationPercentage: 55}", "averageUtilization: 55}"},
	{"autoscaling.metrics", "autoscaling: {enabled: true, metrics: [{type: Pods}]}", "- type: Pods\n"},
	{"autoscaling.behavior", "autoscaling: {enabled: true, behavior: {scaleUp: {stabilizationWindowSeconds: 7}}}", "stabilizationWindowSeconds: 7\n"},
	{"keda.enabled", "keda: {enabled: true}", "kind: ScaledObject"},
	{"keda.enabled", "keda: {enabled: true}", "!replicas: 2\n  revision"},
	{"keda.minReplicaCount", "keda: {enabled: true, minReplicaCount: 1}", "minReplicaCount: 1\n"},
	{"keda.maxReplicaCount", "keda: {enabled: true, maxReplicaCount: 9}", "maxReplicaCount: 9\n"},
	{"keda.monitoringEndpoint", "keda: {enabled: true}", "natsServerMonitoringEndpoint: \"nats-headless.capi.svc.cluster.local:8222\"\n"},
	{"keda.account", "keda: {enabled: true, account: ADS}", "account: \"ADS\"\n"},
	{"keda.useHttps", "keda: {enabled: true, useHttps: true}", "useHttps: \"true\"\n"},
	{"keda.lagThreshold", "keda: {enabled: true, lagThreshold: 20000000}", "lagThreshold: \"20000000\"\n"},
	{"keda.activationLagThreshold", "keda: {enabled: true, activationLagThreshold: 7}", "activationLagThreshold: \"7\"\n"},
	{"keda.pollingInterval", "keda: {enabled: true, pollingInterval: 77}", "pollingInterval: 77\n"},
	{"keda.cooldownPeriod", "keda: {enabled: true, cooldownPeriod: 77}", "cooldownPeriod: 77\n"},
	{"keda.fallback.failureThreshold", "keda: {enabled: true, fallback: {failureThreshold: 77}}", "failureThreshold: 77\n"},
	{"keda.fallback.replicas", "keda: {enabled: true, fallback: {replicas: 77}}", "replicas: 77\n"},
	{"keda.behavior", "keda: {enabled: true, behavior: {scaleUp: {stabilizationWindowSeconds: 7}}}", "stabilizationWindowSeconds: 7\n"},
	{"keda.extraTriggers", "keda: {enabled: true, extraTriggers: [{type: cron}]}", "type: cron\n"},
	{"keda.annotations", "keda: {enabled: true, annotations: {a: b7}}", "a: b7\n"},
	{"networkPolicy.enabled", "networkPolicy: {enabled: false}", "!kind: NetworkPolicy"},
	{"networkPolicy.nats.ports", "networkPolicy: {nats: {ports: [4333]}}", "port: 4333,"},
	{"networkPolicy.nats.to", "networkPolicy: {nats: {to: [{podSelector: {matchLabels: {a: b7}}}]}}", "a: b7\n"},
	{"networkPolicy.redis.ports", "networkPolicy: {redis: {ports: [6333]}}", "port: 6333,"},
	{"networkPolicy.redis.to", "networkPolicy: {redis: {to: [{podSelector: {matchLabels: {a: b7}}}]}}", "a: b7\n"},
	{"networkPolicy.otlp.to", "otlp: {endpoint: 'http://o:4318'}\nnetworkPolicy: {otlp: {to: [{podSelector: {matchLabels: {a: b7}}}]}}", "a: b7\n"},
	{"networkPolicy.graph.to", "networkPolicy: {graph: {to: [{podSelector: {matchLabels: {a: b7}}}]}}", "a: b7\n"},
	{"networkPolicy.dns.to", "networkPolicy: {dns: {to: [{podSelector: {matchLabels: {a: b7}}}]}}", "a: b7\n"},
	{"networkPolicy.metrics.from", "networkPolicy: {metrics: {from: [{podSelector: {matchLabels: {a: b7}}}]}}", "a: b7\n"},
	{"networkPolicy.extraEgress", "networkPolicy: {extraEgress: [{ports: [{port: 3128}]}]}", "port: 3128\n"},
	{"networkPolicy.extraIngress", "networkPolicy: {extraIngress: [{ports: [{port: 3128}]}]}", "port: 3128\n"},
	{"networkPolicy.privateRanges", "networkPolicy: {privateRanges: {ipv4: [198.51.100.0/24]}}", "- 198.51.100.0/24\n"},
	{"networkPolicy.privateRanges", "networkPolicy: {privateRanges: {ipv6: ['2001:db8::/32']}}", "- 2001:db8::/32\n"},
	{"podMonitor.enabled", "podMonitor: {enabled: true}\n" + scraped, "kind: PodMonitor"},
	{"podMonitor.labels", "podMonitor: {enabled: true, labels: {a: b7}}\n" + scraped, "a: b7\n"},
	{"podMonitor.interval", "podMonitor: {enabled: true, interval: 77s}\n" + scraped, "interval: 77s\n"},
	{"podMonitor.scrapeTimeout", "podMonitor: {enabled: true, scrapeTimeout: 7s}\n" + scraped, "scrapeTimeout: 7s\n"},
	{"podMonitor.relabelings", "podMonitor: {enabled: true, relabelings: [{targetLabel: a7}]}\n" + scraped, "targetLabel: a7\n"},
	{"podMonitor.metricRelabelings", "podMonitor: {enabled: true, metricRelabelings: [{targetLabel: a7}]}\n" + scraped, "metricRelabelings:"},
	{"serviceMonitor.enabled", "serviceMonitor: {enabled: true}\n" + scraped, "kind: ServiceMonitor"},
	{"serviceMonitor.labels", "serviceMonitor: {enabled: true, labels: {a: b7}}\n" + scraped, "a: b7\n"},
	{"serviceMonitor.interval", "serviceMonitor: {enabled: true, interval: 77s}\n" + scraped, "interval: 77s\n"},
	{"serviceMonitor.scrapeTimeout", "serviceMonitor: {enabled: true, scrapeTimeout: 7s}\n" + scraped, "scrapeTimeout: 7s\n"},
	{"serviceMonitor.relabelings", "serviceMonitor: {enabled: true, relabelings: [{targetLabel: a7}]}\n" + scraped, "targetLabel: a7\n"},
	{"serviceMonitor.metricRelabelings", "serviceMonitor: {enabled: true, metricRelabelings: [{targetLabel: a7}]}\n" + scraped, "metricRelabelings:"},
	{"service.enabled", "service: {enabled: true}", "kind: Service\n"},
	{"service.annotations", "service: {enabled: true, annotations: {a: b7}}", "a: b7\n"},
	{"prometheusRule.enabled", "prometheusRule: {enabled: true}", "kind: PrometheusRule"},
	{"prometheusRule.labels", "prometheusRule: {enabled: true, labels: {a: b7}}", "a: b7\n"},
	{"prometheusRule.alertLabels", "prometheusRule: {enabled: true, alertLabels: {a: b7}}", "a: b7\n"},
	{"prometheusRule.selector", "prometheusRule: {enabled: true, selector: 'job=\"x\"'}", "absent(capi_condition{job=\\\"x\\\"})"},
	{"prometheusRule.runbookURL", "prometheusRule: {enabled: true, runbookURL: https://wiki.example}", "https://wiki.example#capidispatcherabsent"},
	{"prometheusRule.objective", "prometheusRule: {enabled: true, objective: 0.95}", "> 14.4 * 0.05\\n"},
	{"prometheusRule.alerts", "prometheusRule: {enabled: true, alerts: {maybeSent: {threshold: 77, for: 7m, severity: info}}}", "> 77\"\n          for: 7m\n          labels:\n            severity: info\n"},
	{"prometheusRule.alerts", "prometheusRule: {enabled: true, alerts: {absent: {enabled: false}}}", "CapiDispatcherStuck"},
	{"prometheusRule.extraRules", "prometheusRule: {enabled: true, extraRules: [{alert: Own, expr: up}]}", "alert: Own\n"},
	{"dashboard.enabled", "dashboard: {enabled: true}", "grafana_dashboard: \"1\"\n"},
	{"dashboard.labels", "dashboard: {enabled: true, labels: {a: b7}}", "a: b7\n"},
	{"dashboard.annotations", "dashboard: {enabled: true, annotations: {folder: Ads}}", "folder: Ads\n"},
	{"tests.enabled", "tests: {enabled: false}", "!helm.sh/hook: test"},
	{"tests.resources", "tests: {resources: {limits: {memory: 99Mi}}}", "memory: 99Mi\n"},
}

const digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestEveryValueHasItsEffect(t *testing.T) {
	t.Parallel()
	defaults := render(t).text()
	for _, e := range effects {
		t.Run(e.key+" "+e.text, func(t *testing.T) {
			t.Parallel()
			wanted, gone := strings.CutPrefix(e.text, "!")
			before, after := strings.Contains(defaults, wanted), strings.Contains(render(t, e.values).text(), wanted)
			require.Equal(t, gone, before, "%q by default", wanted)
			require.Equal(t, !gone, after, "%q with these values", wanted)
		})
	}
}

// Whatever the README offers is tested above, and nothing else is.
func TestEveryValueIsTested(t *testing.T) {
	t.Parallel()
	var documented, tested []string
	for _, row := range regexp.MustCompile(`(?m)^\| ([A-Za-z0-9.]+) \| (?:bool|float|int|list|object|string) \|`).FindAllStringSubmatch(readFile(t, chartDir+"/README.md"), -1) {
		documented = append(documented, row[1])
	}
	for _, e := range effects {
		if len(tested) == 0 || tested[len(tested)-1] != e.key {
			tested = append(tested, e.key)
		}
	}
	require.Equal(t, documented, tested, "in the order of values.yaml")
}
