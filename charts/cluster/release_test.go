package cluster_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
)

const (
	chartDir = "../capi-dispatcher"
	fullname = "shop-capi-dispatcher"
)

// release is the chart in a namespace of its own, installed by one Helm.
type release struct {
	*controlPlane

	t         *testing.T
	helm      string
	namespace string
	values    string
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

// requireNothingLeft waits until no object of the release is there any more, of
// any kind, its hooks included.
func (r *release) requireNothingLeft() {
	r.t.Helper()
	kinds, err := r.client.ServerPreferredNamespacedResources()
	require.NoError(r.t, err)
	config := rest.CopyConfig(r.config)
	config.WarningHandler = rest.NoWarnings{} // of kinds that nobody should use any more
	client, err := dynamic.NewForConfig(config)
	require.NoError(r.t, err)
	var left []string
	gone := func() bool {
		left = nil
		for _, group := range discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list"}}, kinds) {
			for _, kind := range group.APIResources {
				left = append(left, r.list(client, group.GroupVersion, kind.Name)...)
			}
		}
		return len(left) == 0
	}
	if !gone() { // but for what the garbage collector takes a moment for
		require.Eventually(r.t, gone, time.Minute, 100*time.Millisecond, "left: %v", left)
	}
}

// list names the objects of a kind that belong to the release.
func (r *release) list(client dynamic.Interface, groupVersion, kind string) (objects []string) {
	r.t.Helper()
	version, err := schema.ParseGroupVersion(groupVersion)
	require.NoError(r.t, err)
	list, err := client.Resource(version.WithResource(kind)).Namespace(r.namespace).List(r.t.Context(),
		metav1.ListOptions{LabelSelector: "app.kubernetes.io/instance=shop"})
	require.NoError(r.t, err)
	for _, object := range list.Items {
		objects = append(objects, kind+"/"+object.GetName())
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

// do runs a command of Helm, which has to succeed without a warning.
func (r *release) do(args ...string) (output string) {
	r.t.Helper()
	return r.begin(args...)()
}

// begin begins such a command, and returns what waits for its end.
func (r *release) begin(args ...string) (end func() (output string)) {
	began, done := time.Now(), make(chan struct{})
	var out string
	var err error
	go func() { defer close(done); out, err = r.try(args...) }()
	return func() string {
		r.t.Helper()
		<-done
		if err != nil {
			r.explain()
		}
		require.NoError(r.t, err, "%s", out)
		// What the API server would rather not have, it says in warnings. A watch
		// that ends on a busy machine, and is taken up again, is a warning as well.
		for line := range strings.Lines(out) {
			require.False(r.t, strings.Contains(strings.ToLower(line), "warning:") && !strings.Contains(line, "reflector.go"), line)
		}
		r.t.Logf("%s %s: %s", r.helm, args[0], time.Since(began).Round(100*time.Millisecond))
		return out
	}
}

// explain logs the state of all pods, and what they say.
func (r *release) explain() {
	r.t.Helper()
	pods, err := r.client.CoreV1().Pods(r.namespace).List(r.t.Context(), metav1.ListOptions{})
	require.NoError(r.t, err)
	for _, pod := range pods.Items {
		r.t.Logf("%s on %q: %s %v", pod.Name, pod.Spec.NodeName, pod.Status.Phase, pod.Status.Conditions)
		log, err := r.client.CoreV1().Pods(r.namespace).GetLogs(pod.Name, &corev1.PodLogOptions{TailLines: ptr.To[int64](20)}).DoRaw(r.t.Context())
		r.t.Logf("%s %v", log, err)
	}
	events, err := r.client.CoreV1().Events(r.namespace).List(r.t.Context(), metav1.ListOptions{})
	require.NoError(r.t, err)
	for _, event := range events.Items {
		r.t.Logf("%s %s: %s", event.InvolvedObject.Kind, event.InvolvedObject.Name, event.Message)
	}
}

// log is all that a pod has said.
func (r *release) log(pod *corev1.Pod) string {
	r.t.Helper()
	log, err := r.client.CoreV1().Pods(r.namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(r.t.Context())
	require.NoError(r.t, err)
	return string(log)
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

// secret makes a Secret with one key, or changes it.
func (r *release) secret(name, key, value string) {
	r.t.Helper()
	api := r.client.CoreV1().Secrets(r.namespace)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: map[string]string{key: value}}
	_, err := api.Create(r.t.Context(), secret, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = api.Update(r.t.Context(), secret, metav1.UpdateOptions{})
	}
	require.NoError(r.t, err)
}

// awaitReplaced waits until so many workers are ready, and a container of one
// is not among theirs any more.
func (r *release) awaitReplaced(container string, workers int) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		running := r.workers()
		return len(running) == workers && !slices.ContainsFunc(running, func(pod corev1.Pod) bool {
			return !isReady(&pod) || containerID(&pod) == container
		})
	}, time.Minute, 50*time.Millisecond, "the workers do not get ready")
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// containers are the ids of the workers' containers, which change with every
// start of one.
func (r *release) containers() (ids []string) {
	r.t.Helper()
	for _, pod := range r.workers() {
		ids = append(ids, containerID(&pod))
	}
	slices.Sort(ids)
	return ids
}

func containerID(worker *corev1.Pod) string {
	return strings.TrimPrefix(worker.Status.ContainerStatuses[0].ContainerID, "containerd://")
}
