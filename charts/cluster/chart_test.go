package cluster_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"
)

const (
	chartDir = "../capi-dispatcher"
	fullname = "shop-capi-dispatcher"
)

// The custom resources that the chart may use.
var definitions = []string{
	"github.com/kedacore/keda/v2@v2.21.0:config/crd/bases/keda.sh_scaledobjects.yaml",
	"github.com/prometheus-operator/prometheus-operator@v0.85.0:example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
	"github.com/prometheus-operator/prometheus-operator@v0.85.0:example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
	"github.com/prometheus-operator/prometheus-operator@v0.85.0:example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
	":../test/testdata/nack-crds.yaml",
}

// release is the chart in a namespace of its own, installed by one Helm.
type release struct {
	*nodes

	t         *testing.T
	helm      string
	namespace string
	values    string
}

// From install to uninstall, in namespaces that enforce the restricted Pod
// Security standard, with Helm 3 and 4.
func TestTheLifeOfARelease(t *testing.T) {
	plane := start(t)
	plane.define()
	cluster := plane.addNodes()
	for _, helm := range []string{"helm-3", "helm-4"} {
		for name, tc := range map[string]struct {
			values  string
			workers int
		}{
			"defaults":   {"", 2},
			"nack":       {"streams: {owner: nack}\nautoscaling: {enabled: true}\nserviceMonitor: {enabled: true}\ndashboard: {enabled: true}", 2},
			"production": {readFile(t, chartDir+"/examples/production.yaml"), 1}, // KEDA is not there to want more
		} {
			t.Run(helm+" "+name, func(t *testing.T) {
				namespace := helm + "-" + name
				r := &release{nodes: cluster, t: t, helm: helm, namespace: namespace, values: cluster.write(namespace+".yaml", tc.values)}
				r.createNamespace()
				r.live(tc.workers)
			})
		}
	}
}

// live leads a release through its life.
func (r *release) live(workers int) {
	r.do("install", "shop", chartDir, "--values", r.values, "--wait", "--timeout", "1m")
	first := r.await(workers, func(string) bool { return true })
	r.do("test", "shop", "--timeout", "1m")

	r.do("upgrade", "shop", chartDir, "--values", r.values, "--set", "config.batch.linger=1s", "--wait", "--timeout", "1m")
	// A changed configuration replaces the workers.
	r.await(workers, func(checksum string) bool { return checksum != first })

	out, err := r.try("upgrade", "shop", chartDir, "--values", r.values, "--set", "config.batch.lingre=1s")
	require.Error(r.t, err)
	require.Contains(r.t, out, "lingre")

	r.do("rollback", "shop", "1", "--wait", "--timeout", "1m")
	r.await(workers, func(checksum string) bool { return checksum == first })
	r.evictOnlyOne()

	r.do("uninstall", "shop", "--wait", "--timeout", "1m")
	require.Empty(r.t, r.left())
}

// await waits until there are as many workers, each with a configuration as
// wanted, and returns its checksum. Autoscalers take a moment, and Helm 3 does
// not wait for the last of the old workers.
func (r *release) await(workers int, wanted func(checksum string) bool) (checksum string) {
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
func (r *release) evictOnlyOne() {
	r.t.Helper()
	r.frozen.Store(true)
	defer r.frozen.Store(false)
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

// workers are the workers that are to stay.
func (r *release) workers() (running []corev1.Pod) {
	r.t.Helper()
	pods, err := r.client.CoreV1().Pods(r.namespace).List(r.t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=worker"})
	require.NoError(r.t, err)
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp == nil {
			running = append(running, pod)
		}
	}
	return running
}

// left lists the objects of the release that are still there: all kinds of the
// chart, its hooks included.
func (r *release) left() (objects []string) {
	r.t.Helper()
	client, err := dynamic.NewForConfig(r.config)
	require.NoError(r.t, err)
	for _, kind := range []schema.GroupVersionResource{
		{Version: "v1", Resource: "configmaps"},
		{Version: "v1", Resource: "services"},
		{Version: "v1", Resource: "serviceaccounts"},
		{Version: "v1", Resource: "pods"},
		{Group: "apps", Version: "v1", Resource: "deployments"},
		{Group: "batch", Version: "v1", Resource: "jobs"},
		{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"},
		{Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
		{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"},
		{Group: "keda.sh", Version: "v1alpha1", Resource: "scaledobjects"},
		{Group: "monitoring.coreos.com", Version: "v1", Resource: "podmonitors"},
		{Group: "monitoring.coreos.com", Version: "v1", Resource: "servicemonitors"},
		{Group: "monitoring.coreos.com", Version: "v1", Resource: "prometheusrules"},
		{Group: "jetstream.nats.io", Version: "v1beta2", Resource: "streams"},
		{Group: "jetstream.nats.io", Version: "v1beta2", Resource: "consumers"},
	} {
		list, err := client.Resource(kind).Namespace(r.namespace).List(r.t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/instance=shop"})
		require.NoError(r.t, err)
		for _, object := range list.Items {
			if object.GetDeletionTimestamp() == nil {
				objects = append(objects, kind.Resource+"/"+object.GetName())
			}
		}
	}
	return objects
}

func (r *release) createNamespace() {
	r.t.Helper()
	_, err := r.client.CoreV1().Namespaces().Create(r.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: r.namespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}, metav1.CreateOptions{})
	require.NoError(r.t, err)
}

func (r *release) do(args ...string) {
	r.t.Helper()
	began := time.Now()
	out, err := r.try(args...)
	if err != nil {
		r.explain()
	}
	require.NoError(r.t, err, "%s", out)
	// What the API server would rather not have, it says in warnings.
	require.NotContains(r.t, strings.ToLower(out), "warning:")
	r.t.Logf("%s %s: %s", r.helm, args[0], time.Since(began).Round(100*time.Millisecond))
}

// explain logs the state of all pods.
func (r *release) explain() {
	r.t.Helper()
	pods, err := r.client.CoreV1().Pods(r.namespace).List(r.t.Context(), metav1.ListOptions{})
	require.NoError(r.t, err)
	for _, pod := range pods.Items {
		r.t.Logf("%s on %q: %s %v", pod.Name, pod.Spec.NodeName, pod.Status.Phase, pod.Status.Conditions)
	}
	events, err := r.client.CoreV1().Events(r.namespace).List(r.t.Context(), metav1.ListOptions{})
	require.NoError(r.t, err)
	for _, event := range events.Items {
		r.t.Logf("%s %s: %s", event.InvolvedObject.Kind, event.InvolvedObject.Name, event.Message)
	}
}

func (r *release) try(args ...string) (output string, err error) {
	r.t.Helper()
	helm, err := filepath.Abs(filepath.Join(binaries, r.helm))
	require.NoError(r.t, err)
	cmd := exec.CommandContext(r.t.Context(), helm, append(args, "--namespace", r.namespace)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+r.kubeconfig, "HELM_CACHE_HOME="+r.dir, "HELM_CONFIG_HOME="+r.dir, "HELM_DATA_HOME="+r.dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// define adds the custom resources, and waits until they are served, and the
// priority class of an example.
func (c *controlPlane) define() {
	c.t.Helper()
	_, err := c.client.SchedulingV1().PriorityClasses().Create(c.t.Context(), &schedulingv1.PriorityClass{
		ObjectMeta: metav1.ObjectMeta{Name: "business-critical"}, Value: 1000,
	}, metav1.CreateOptions{})
	require.NoError(c.t, err)
	client, err := dynamic.NewForConfig(c.config)
	require.NoError(c.t, err)
	crds := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	for _, definition := range definitions {
		for part := range strings.SplitSeq("\n"+readDefinition(c.t, definition), "\n---") {
			object := &unstructured.Unstructured{}
			require.NoError(c.t, yaml.Unmarshal([]byte(part), &object.Object))
			if object.GetKind() == "" {
				continue
			}
			_, err := crds.Create(c.t.Context(), object, metav1.CreateOptions{})
			require.NoError(c.t, err)
			require.Eventually(c.t, func() bool {
				made, err := crds.Get(c.t.Context(), object.GetName(), metav1.GetOptions{})
				return err == nil && established(made)
			}, time.Minute, 50*time.Millisecond)
		}
	}
}

func established(crd *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if condition["type"] == "Established" && condition["status"] == "True" {
			return true
		}
	}
	return false
}

// readDefinition reads a file of a module, or of this repository. Modules are
// downloaded if need be.
func readDefinition(t *testing.T, definition string) string {
	t.Helper()
	module, path, _ := strings.Cut(definition, ":")
	if module == "" {
		return readFile(t, path)
	}
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", module)
	cmd.Dir = t.TempDir()
	out, err := cmd.Output()
	require.NoError(t, err, "%s", out)
	var found struct{ Dir string }
	require.NoError(t, json.Unmarshal(out, &found))
	text, err := fs.ReadFile(os.DirFS(found.Dir), path)
	require.NoError(t, err)
	return string(text)
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}
