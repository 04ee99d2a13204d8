package cluster_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// From install to uninstall, in namespaces that enforce the restricted Pod
// Security standard, with Helm 3 and 4.
func TestTheLifeOfARelease(t *testing.T) {
	// Nobody sends heartbeats for played nodes.
	plane := start(t, "-node-lifecycle-controller")
	plane.define()
	cluster := plane.addNodes()
	for _, helm := range []string{"helm-3", "helm-4"} {
		for name, tc := range map[string]struct {
			values  string
			workers int
		}{
			"defaults":   {"", 2},
			"nack":       {"streams: {owner: nack}\nautoscaling: {enabled: true}\nserviceMonitor: {enabled: true}\nnetworkPolicy: {metrics: {from: [{namespaceSelector: {}}]}}\ndashboard: {enabled: true}", 2},
			"production": {readFile(t, chartDir+"/examples/production.yaml"), 1}, // KEDA is not there to want more
		} {
			t.Run(helm+" "+name, func(t *testing.T) {
				namespace := helm + "-" + name
				r := &release{controlPlane: plane, t: t, helm: helm, namespace: namespace, values: cluster.write(namespace+".yaml", tc.values)}
				r.createNamespace()
				r.live(cluster, tc.workers)
			})
		}
	}
}

// live leads a release through its life, on played nodes.
func (r *release) live(cluster *nodes, workers int) {
	r.do("install", "shop", chartDir, "--values", r.values, "--wait", "--timeout", "1m")
	first := r.awaitWorkers(workers, func(string) bool { return true })
	r.do("test", "shop", "--timeout", "1m")

	r.do("upgrade", "shop", chartDir, "--values", r.values, "--set", "config.batch.linger=1s", "--wait", "--timeout", "1m")
	// A changed configuration replaces the workers.
	r.awaitWorkers(workers, func(checksum string) bool { return checksum != first })

	out, err := r.try("upgrade", "shop", chartDir, "--values", r.values, "--set", "config.batch.lingre=1s")
	require.Error(r.t, err)
	require.Contains(r.t, out, "lingre")

	r.do("rollback", "shop", "1", "--wait", "--timeout", "1m")
	r.awaitWorkers(workers, func(checksum string) bool { return checksum == first })
	r.evictOnlyOne(cluster)

	r.do("uninstall", "shop", "--wait", "--timeout", "1m")
	r.requireNothingLeft()
}

// awaitWorkers waits until there are as many workers, each with a configuration as
// wanted, and returns its checksum. Autoscalers take a moment, and Helm 3 does
// not wait for the last of the old workers.
func (r *release) awaitWorkers(workers int, wanted func(checksum string) bool) (checksum string) {
	r.t.Helper()
	var running []corev1.Pod
	require.Eventually(r.t, func() bool {
		running = r.workers()
		return len(running) == workers && !slices.ContainsFunc(running, func(pod corev1.Pod) bool { return !wanted(pod.Annotations["checksum/config"]) })
	}, time.Minute, 50*time.Millisecond)
	if workers == 2 {
		require.NotEqual(r.t, running[0].Spec.NodeName, running[1].Spec.NodeName, "one in each zone")
	}
	return running[0].Annotations["checksum/config"]
}

// evictOnlyOne asks for all workers to go: the disruption budget lets one.
func (r *release) evictOnlyOne(cluster *nodes) {
	r.t.Helper()
	cluster.frozen.Store(true)
	defer cluster.frozen.Store(false)
	workers := r.workers()
	require.Eventually(r.t, func() bool {
		budget, err := r.client.PolicyV1().PodDisruptionBudgets(r.namespace).Get(r.t.Context(), fullname, metav1.GetOptions{})
		return err == nil && budget.Status.DisruptionsAllowed == 1
	}, 30*time.Second, 50*time.Millisecond)
	require.NoError(r.t, r.evict(workers[0].Name))
	for _, other := range workers[1:] {
		require.True(r.t, apierrors.IsTooManyRequests(r.evict(other.Name)))
	}
}

func (r *release) evict(pod string) error {
	return r.client.PolicyV1().Evictions(r.namespace).Evict(r.t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: r.namespace}})
}
