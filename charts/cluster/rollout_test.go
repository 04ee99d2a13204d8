package cluster_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// rollout is a release on a real node, under load.
type rollout struct {
	*release

	node    *node
	servers *servers
	load    *load
	table   *tabwriter.Writer
	text    strings.Builder
}

// Workers of the real image on a real node are killed, upgraded, rolled back,
// and given another token, while events keep coming: each is accepted once, but
// for those that a killed worker had sent and could not tell anybody of. The
// worker has no more rights in NATS than docs/deploy.md says it needs.
func TestARolloutOnARealNode(t *testing.T) {
	if !inSandbox(t) {
		return
	}
	r := newRollout(t)
	r.install()
	r.load = r.servers.publish()
	r.step("a steady load", func() { r.load.awaitMore(1000) })
	r.step("a worker is killed", r.killContainer)
	r.step("a pod is deleted, at once", r.deletePod)
	r.step("helm upgrade", r.upgrade)
	r.step("helm rollback", r.rollBack)
	r.step("another token", r.replaceToken)
	r.step("the load ends", func() { r.load.end(); r.load.awaitQuiet() })
	r.judge()
	r.doctorRefuses()
	r.uninstall()
	r.helm = "helm-3"
	r.do("install", "shop", chartDir, "--values", r.values, "--wait", "--timeout", "2m")
	r.do("test", "shop", "--timeout", "1m")
	r.uninstall()
}

func newRollout(t *testing.T) *rollout {
	t.Helper()
	r := &rollout{servers: startServers(t)}
	r.node = start(t).addNode()
	first := workerImage(t)
	next := nextImage(t, first)
	r.node.load(repository+"@"+digest(t, first), first)
	r.node.load(repository+"@"+digest(t, next), next)
	r.release = &release{controlPlane: r.node.controlPlane, t: t, helm: "helm-4", namespace: "shop"}
	r.values = r.write("values.yaml", r.valuesFor(digest(t, first), "250ms"))
	r.write("next.yaml", r.valuesFor(digest(t, next), "100ms"))
	r.table = tabwriter.NewWriter(&r.text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(r.table, "STEP\tTOOK\tPUBLISHED\tACCEPTED\tIN DOUBT\tTWICE")
	return r
}

func (r *rollout) valuesFor(digest, linger string) string {
	return fmt.Sprintf(`
image: {registry: %s, digest: %q}
config:
  nats: {url: %q, ack_wait: 10s}
  redis: {url: %q}
  graph: {url: %q, timeout: 5s}
  batch: {linger: %s}
  delivery: {park: {initial: 1s, max: 1m}, drain_timeout: 10s}
streams: {owner: job, job: {natsCreds: {name: nats-streams}}}
secrets: {natsCreds: {name: nats-worker}, redisPassword: {name: redis}}
probes: {startup: {periodSeconds: 1}, readiness: {periodSeconds: 1}}
minReadySeconds: 1
`, registry, digest, r.servers.nats.ClientURL(), "redis://"+r.servers.redis.Options().Addr+"/0", r.servers.graph.url, linger)
}

// install installs the chart and asks its test. The streams are made by the
// chart's job, with credentials of its own.
func (r *rollout) install() {
	r.t.Helper()
	r.createNamespace()
	worker, streams := documentedRights(r.t)
	require.NotEmpty(r.t, worker)
	require.NotEmpty(r.t, streams)
	r.secret("nats-worker", "user.creds", r.servers.access.creds(worker...))
	r.secret("nats-streams", "user.creds", r.servers.access.creds(append(streams, worker...)...))
	r.secret("redis", "password", redisPassword)
	r.secret("capi-dispatcher-tokens", "default", "EAAB-first-token")
	for i := range datasets {
		r.servers.graph.AddDataset(datasetID(i), "EAAB-first-token")
	}
	r.step("helm install", func() {
		out := r.do("install", "shop", chartDir, "--values", r.values, "--wait", "--timeout", "2m")
		require.Contains(r.t, out, "streams CAPI, CAPI_PARKED and CAPI_DLQ are there", "the job's log")
	})
	r.step("helm test", func() {
		require.Regexp(r.t, `[^1-9]0 faults`, r.do("test", "shop", "--timeout", "1m"), "the doctor's log")
	})
}

// step does something and waits until events flow again.
func (r *rollout) step(name string, do func()) {
	r.t.Helper()
	began := time.Now()
	do()
	took := time.Since(began).Round(100 * time.Millisecond)
	var b books
	if r.load != nil {
		if !strings.Contains(name, "ends") {
			r.load.awaitMore(500)
		}
		b = r.load.books()
	}
	r.t.Logf("%s: %s", name, took)
	fmt.Fprintf(r.table, "%s\t%s\t%d\t%d\t%d\t%d\n", name, took, b.published, b.accepted, b.inDoubt, b.twice)
}

// killContainer kills a worker as the kernel would. The kubelet starts it
// again, in its pod.
func (r *rollout) killContainer() {
	r.t.Helper()
	victim := r.workers()[0]
	r.node.ctr(nil, "tasks", "kill", "--signal", "SIGKILL", containerID(&victim))
	r.awaitEnd(&victim)
	r.awaitReplaced(containerID(&victim), 2)
	restarted, err := r.client.CoreV1().Pods(r.namespace).Get(r.t.Context(), victim.Name, metav1.GetOptions{})
	require.NoError(r.t, err)
	require.EqualValues(r.t, 1, restarted.Status.ContainerStatuses[0].RestartCount)
}

// deletePod deletes a pod as `kubectl delete --force` does.
func (r *rollout) deletePod() {
	r.t.Helper()
	victim := r.workers()[0]
	require.NoError(r.t, r.client.CoreV1().Pods(r.namespace).Delete(r.t.Context(), victim.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}))
	r.awaitEnd(&victim)
	r.awaitReplaced(containerID(&victim), 2)
}

// awaitEnd waits until a worker is gone, and its requests with it.
func (r *rollout) awaitEnd(victim *corev1.Pod) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		return !r.node.runs(containerID(victim)) && !r.servers.graph.answers(victim.Status.PodIP)
	}, time.Minute, 10*time.Millisecond, "the worker is gone")
	r.load.doubt()
}

func (r *rollout) upgrade() {
	r.t.Helper()
	r.do("upgrade", "shop", chartDir, "--values", r.path("next.yaml"), "--wait", "--timeout", "2m")
}

func (r *rollout) rollBack() {
	r.t.Helper()
	r.do("rollback", "shop", "1", "--wait", "--timeout", "2m")
}

// replaceToken replaces the access token, first at Meta's side: the datasets
// are paused, and go on by themselves when the kubelet has brought the Secret.
func (r *rollout) replaceToken() {
	r.t.Helper()
	before := r.containers()
	for i := range datasets {
		r.servers.graph.AddDataset(datasetID(i), "EAAB-second-token")
	}
	require.Eventually(r.t, func() bool { return r.servers.size("CAPI_PARKED") > 100 }, time.Minute, 20*time.Millisecond, "events wait")
	r.secret("capi-dispatcher-tokens", "default", "EAAB-second-token")
	r.load.awaitMore(1000)
	require.Equal(r.t, before, r.containers(), "without a restart")
}

// judge holds what was accepted against what was published.
func (r *rollout) judge() {
	r.t.Helper()
	_ = r.table.Flush()
	b := r.load.books()
	r.t.Logf("%s\n\n%s\n%d events and %d copies published; %d accepted, %d lost, %d accepted twice, of %d in doubt when a worker was killed",
		r.versions(), r.text.String(), b.published, b.copies, b.accepted, b.lost, b.twice, b.inDoubt)
	require.Zero(r.t, b.lost, "lost")
	require.Zero(r.t, b.unexplained, "accepted more often than a killed worker explains")
	require.Equal(r.t, b.published, b.accepted)
	require.Zero(r.t, r.servers.size("CAPI_DLQ"), "dead letters")
	require.Empty(r.t, r.servers.refusals.all(), "the rights that docs/deploy.md names are enough")
}

func (r *rollout) versions() string {
	helm, err := exec.CommandContext(r.t.Context(), filepath.Join(binaries, r.helm), "version", "--short").Output()
	require.NoError(r.t, err)
	node, err := r.client.CoreV1().Nodes().Get(r.t.Context(), nodeName, metav1.GetOptions{})
	require.NoError(r.t, err)
	info := node.Status.NodeInfo
	return fmt.Sprintf("Kubernetes %s, %s, Linux %s, Helm %s, NATS %s", info.KubeletVersion, info.ContainerRuntimeVersion, info.KernelVersion,
		strings.TrimSpace(string(helm)), server.VERSION)
}

// doctorRefuses takes away what the doctor asks for, one after the other. The
// pod of a test that failed stays, to be looked at, until the next test.
func (r *rollout) doctorRefuses() {
	r.t.Helper()
	for _, tc := range []struct{ secret, key, wrong, right, says string }{
		{"redis", "password", "wrong", redisPassword, "redis: "},
		{"capi-dispatcher-tokens", "default", "", "EAAB-second-token", "token"},
	} {
		r.secret(tc.secret, tc.key, tc.wrong)
		out, err := r.try("test", "shop", "--timeout", "1m")
		require.Error(r.t, err, "without %s", tc.secret)
		require.Regexp(r.t, "fault +"+tc.says, out)
		r.secret(tc.secret, tc.key, tc.right)
	}
	r.do("test", "shop", "--timeout", "1m")
}

// uninstall leaves nothing but the streams and what is in them.
func (r *rollout) uninstall() {
	r.t.Helper()
	r.do("uninstall", "shop", "--wait", "--timeout", "1m")
	r.requireNothingLeft()
	require.Eventually(r.t, func() bool { return r.node.ctr(nil, "tasks", "ls", "--quiet") == "" }, time.Minute, 100*time.Millisecond, "processes are left")
	require.NotZero(r.t, r.servers.size("CAPI"))
}
