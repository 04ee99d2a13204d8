package test_test

import (
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

// A public address, as Meta's are, and one within a cluster.
var (
	outside = netip.MustParseAddr("157.240.22.19")
	inside  = netip.MustParseAddr("10.96.0.10")
)

// allows tells whether a policy lets a connection out. Peers that are chosen
// by labels count as within the cluster.
func allows(p *networkingv1.NetworkPolicy, to netip.Addr, port int) bool {
	return slices.ContainsFunc(p.Spec.Egress, func(rule networkingv1.NetworkPolicyEgressRule) bool {
		open := slices.ContainsFunc(rule.Ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port.IntValue() == port })
		return open && (len(rule.To) == 0 || slices.ContainsFunc(rule.To, func(peer networkingv1.NetworkPolicyPeer) bool { return covers(peer, to) }))
	})
}

func covers(peer networkingv1.NetworkPolicyPeer, to netip.Addr) bool {
	if peer.IPBlock == nil {
		return to == inside
	}
	return netip.MustParsePrefix(peer.IPBlock.CIDR).Contains(to) &&
		!slices.ContainsFunc(peer.IPBlock.Except, func(block string) bool { return netip.MustParsePrefix(block).Contains(to) })
}

// Every server that the configuration names can be reached, by all pods.
func TestEveryEndpointIsAllowed(t *testing.T) {
	t.Parallel()
	cases := settings(t)
	maps.Copy(cases, map[string]string{
		"default ports":    "config: {nats: {url: 'nats://nats'}, redis: {url: rediss://redis/0}}",
		"TLS":              "config: {nats: {url: 'tls://nats'}}",
		"several servers":  "config: {nats: {url: 'nats://a:4222, tls://b:5222'}, redis: {mode: cluster, url: 'redis://a:7000,redis://b:7001'}}",
		"web sockets":      "config: {nats: {url: 'wss://nats.example,ws://nats.example'}}",
		"IPv6":             "config: {nats: {url: 'nats://[fd00::1]:4333'}, redis: {url: 'redis://[fd00::2]'}}",
		"sentinel":         "config: {redis: {mode: sentinel, sentinel_master: m, url: 'redis://s:26379'}}",
		"another graph":    "config: {graph: {url: 'http://simulator:8090', insecure: true}}",
		"telemetry by env": "extraEnv: [{name: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, value: 'https://otel.example'}]",
	})
	ports := map[string]string{"nats": "4222", "tls": "4222", "ws": "80", "wss": "443", "redis": "6379", "rediss": "6379", "http": "80", "https": "443"}
	for name, values := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := render(t, values)
			cfg := configOf(r, fullname)
			policy := get[networkingv1.NetworkPolicy](r, "NetworkPolicy", fullname)
			var addresses []string
			for _, urls := range []secret.URLs{cfg.NATS.URL, cfg.Redis.URL} {
				addresses = append(addresses, urls.List()...)
			}
			for _, variable := range deployment(r).Spec.Template.Spec.Containers[0].Env {
				if u, err := url.Parse(variable.Value); err == nil && u.Host != "" {
					addresses = append(addresses, variable.Value)
				}
			}
			for _, address := range addresses {
				u, err := url.Parse(address)
				require.NoError(t, err)
				require.True(t, allows(policy, inside, portOf(t, u, ports)), "%s: %s", address, r.texts["networkpolicy.yaml"])
			}
			graph, err := url.Parse(cfg.Graph.URL)
			require.NoError(t, err)
			require.True(t, allows(policy, outside, portOf(t, graph, ports)))
			require.True(t, allows(policy, inside, 53))
			require.False(t, allows(policy, outside, 22))
			if cfg.Redis.Mode == "sentinel" {
				require.True(t, allows(policy, inside, 6379), "the master behind the sentinels")
			}
			for _, pod := range r.pods() {
				require.True(t, labels.SelectorFromSet(policy.Spec.PodSelector.MatchLabels).Matches(labels.Set(pod.Labels)))
			}
		})
	}
}

func portOf(t *testing.T, u *url.URL, defaults map[string]string) int {
	t.Helper()
	text := u.Port()
	if text == "" {
		text = defaults[u.Scheme]
	}
	port, err := strconv.Atoi(text)
	require.NoError(t, err)
	return port
}

// Meta is outside; a stolen worker should not look around inside.
func TestHTTPSWithinTheClusterIsNotAllowed(t *testing.T) {
	t.Parallel()
	policy := get[networkingv1.NetworkPolicy](render(t), "NetworkPolicy", fullname)
	for _, address := range []string{"10.96.0.1", "172.16.5.5", "192.168.1.1", "169.254.169.254", "100.64.0.1", "fd00:ec2::254", "fe80::1"} {
		require.False(t, allows(policy, netip.MustParseAddr(address), 443), address)
	}
	require.True(t, allows(policy, netip.MustParseAddr("2a03:2880:f10c:83:face:b00c:0:25de"), 443))
}

// admits tells whether a policy lets pods of a namespace in to a port.
func admits(t *testing.T, p *networkingv1.NetworkPolicy, namespace string, port intstr.IntOrString) bool {
	t.Helper()
	of := labels.Set{"kubernetes.io/metadata.name": namespace}
	return slices.ContainsFunc(p.Spec.Ingress, func(rule networkingv1.NetworkPolicyIngressRule) bool {
		open := len(rule.Ports) == 0 || slices.ContainsFunc(rule.Ports, func(p networkingv1.NetworkPolicyPort) bool { return *p.Port == port })
		return open && (len(rule.From) == 0 || slices.ContainsFunc(rule.From, func(peer networkingv1.NetworkPolicyPeer) bool {
			selector, err := metav1.LabelSelectorAsSelector(peer.NamespaceSelector) // without one: nothing
			require.NoError(t, err)
			return selector.Matches(of)
		}))
	})
}

// The admin port has no authentication. The kubelet comes from the pod's own
// node, which is always let in.
func TestTheAdminPortIsForThoseWhoAreNamed(t *testing.T) {
	t.Parallel()
	admin := intstr.FromString("admin")
	monitoring := "networkPolicy: {metrics: {from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]}}"
	for name, c := range map[string]struct {
		values   string
		admitted []string
	}{
		"nobody by default":     {"", nil},
		"Prometheus":            {monitoring, []string{"monitoring"}},
		"with monitor":          {monitoring + "\npodMonitor: {enabled: true}", []string{"monitoring"}},
		"all, if they are said": {scraped, []string{"monitoring", "capi", "stranger"}},
		"by a rule of one's own": {
			"serviceMonitor: {enabled: true}\nnetworkPolicy: {extraIngress: [{ports: [{port: admin}]}]}",
			[]string{"monitoring", "capi", "stranger"},
		},
		"no policy, no check": {"podMonitor: {enabled: true}\nnetworkPolicy: {enabled: false}", []string{"monitoring", "capi", "stranger"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := render(t, c.values)
			if !slices.Contains(r.kinds(), "NetworkPolicy") {
				require.Contains(t, c.values, "enabled: false")
				return
			}
			policy := get[networkingv1.NetworkPolicy](r, "NetworkPolicy", fullname)
			require.Contains(t, policy.Spec.PolicyTypes, networkingv1.PolicyTypeIngress)
			for _, namespace := range []string{"monitoring", "capi", "stranger"} {
				require.Equal(t, slices.Contains(c.admitted, namespace), admits(t, policy, namespace, admin), namespace)
			}
		})
	}
}

// The job runs before the policy of the release is there.
func TestTheJobBringsItsPolicyAlong(t *testing.T) {
	t.Parallel()
	r := render(t, "streams: {owner: job}")
	policy := get[networkingv1.NetworkPolicy](r, "NetworkPolicy", fullname+"-streams")
	require.Equal(t, "pre-install,pre-upgrade", policy.Annotations["helm.sh/hook"])
	require.True(t, labels.SelectorFromSet(policy.Spec.PodSelector.MatchLabels).Matches(labels.Set(r.pods()[fullname+"-streams"].Labels)))
	require.True(t, allows(policy, inside, 4222))
}
