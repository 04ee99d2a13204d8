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

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// rollout is a release on a real node, under load.
type rollout struct {
	*release

	node    *node
	servers *servers
	load    *load
	first   string // the image's digest
	next    string // of the one to upgrade to
	table   *tabwriter.Writer
	text    strings.Builder
}

// Workers of the real image on a real node are killed, upgraded, rolled back, and
// given other settings and another token, while events keep coming: each is
// accepted once, but for those that a killed worker had sent and could not tell
// anybody of. The worker has no more rights in NATS than docs/security.md says it
// needs.
func TestARolloutOnARealNode(t *testing.T) {
	if !inSandbox(t) {
		return
	}
	r := newRollout(t)
	r.install()
	r.load.start()
	for _, s := range []struct {
		name string
		do   func()
	}{
		{"a steady load", func() { r.load.awaitMore(1000) }},
		{"a worker is killed", r.killContainer},
		{"a pod is deleted at once", r.deletePod},
		{"helm upgrade", r.upgrade},
		{"helm rollback", r.rollBack},
		{"other settings", r.changeSettings},
		{"another token", r.replaceToken},
	} {
		r.step(s.name, s.do)
		r.load.awaitMore(500)
	}
	r.step("the load ends", r.load.endAndSettle)
	r.judge()
	r.doctorRefuses()
	r.uninstall()

	// With the streams that are there, and the other Helm.
	r.helm = "helm-3"
	r.do("install", "shop", chartDir, "--values", r.values, "--set", otherSettings, "--wait", "--timeout", "2m")
	r.do("test", "shop", "--timeout", "1m")
	r.uninstall()
}

func newRollout(t *testing.T) *rollout {
	t.Helper()
	r := &rollout{servers: startServers(t)}
	r.load = r.servers.newLoad()
	r.node = start(t).addNode()
	r.release = &release{controlPlane: r.node.controlPlane, t: t, helm: "helm-4", namespace: "shop"}
	image := workerImage(t)
	r.first, r.next = r.node.load(repository, image), r.node.load(repository, nextImage(t, image))
	r.values = r.write("values.yaml", r.valuesFor(r.first, "250ms"))
	r.write("next.yaml", r.valuesFor(r.next, "100ms"))
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
  graph: {url: %q, insecure: true, timeout: 5s}
  batch: {linger: %s}
  delivery: {park: {initial: 1s, max: 20s}, drain_timeout: 10s}
streams: {owner: job, job: {natsCreds: {name: nats-streams}}}
secrets: {natsCreds: {name: nats-worker}, redisPassword: {name: redis}}
probes: {startup: {periodSeconds: 1}, readiness: {periodSeconds: 1}}
minReadySeconds: 1
`, registry, digest, r.servers.nats.ClientURL(), "redis://"+r.servers.redis.Options().Addr+"/0", r.servers.graph.url, linger)
}

// prepare makes what has to be there before the chart: Secrets, in a namespace
// that enforces the restricted standard, and datasets.
func (r *rollout) prepare() {
	r.t.Helper()
	r.createNamespace()
	roles := natstest.Documented(r.t, "../../docs/security.md")
	r.secret("nats-worker", "user.creds", r.servers.account.CredsFor(roles["Worker"]))
	r.secret("nats-streams", "user.creds", r.servers.account.CredsFor(roles["Maker of the streams"]))
	r.secret("nats-both", "user.creds", r.servers.account.CredsFor(roles["Worker that makes the streams"]))
	r.secret("redis", "password", redisPassword)
	r.secret("capi-dispatcher-tokens", "default", "EAAB-first-token")
	for i := range datasets {
		r.servers.graph.AddDataset(datasetID(i), "EAAB-first-token")
	}
}

// install installs the chart and asks its test. The streams are made by the
// chart's job, with credentials of its own.
func (r *rollout) install() {
	r.t.Helper()
	r.prepare()
	r.step("helm install", func() {
		out := r.do("install", "shop", chartDir, "--values", r.values, "--wait", "--timeout", "2m")
		require.Contains(r.t, out, "streams CAPI, CAPI_PARKED and CAPI_DLQ are there", "the job's log")
	})
	for _, container := range r.containers() {
		r.node.requireRestricted(container)
	}
	r.step("helm test", func() {
		require.Regexp(r.t, `[^1-9]0 faults`, r.do("test", "shop", "--timeout", "1m"), "the doctor's log")
	})
}

// step does something and enters into the table how long it took, and how far
// everything has come by then.
func (r *rollout) step(name string, do func()) {
	r.t.Helper()
	began := time.Now()
	do()
	took, b := time.Since(began).Round(100*time.Millisecond), r.load.books()
	r.t.Logf("%s: %s", name, took)
	fmt.Fprintf(r.table, "%s\t%s\t%d\t%d\t%d\t%d\n", name, took, b.published, b.accepted, b.inDoubt, b.twice)
}

// killContainer kills a worker as the kernel would. The kubelet starts it
// again, in its pod.
func (r *rollout) killContainer() {
	r.t.Helper()
	victim := r.crash(func(victim *corev1.Pod) {
		r.node.ctr(nil, "tasks", "kill", "--signal", "SIGKILL", containerID(victim))
	})
	restarted, err := r.client.CoreV1().Pods(r.namespace).Get(r.t.Context(), victim, metav1.GetOptions{})
	require.NoError(r.t, err)
	require.EqualValues(r.t, 1, restarted.Status.ContainerStatuses[0].RestartCount)
}

// deletePod deletes a pod as `kubectl delete --force` does.
func (r *rollout) deletePod() {
	r.t.Helper()
	r.crash(func(victim *corev1.Pod) {
		err := r.client.CoreV1().Pods(r.namespace).Delete(r.t.Context(), victim.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})
		require.NoError(r.t, err)
	})
}

// crash ends a worker while it waits for an answer, most likely to a request
// that the API has accepted, notes what is in doubt, and waits until there is another worker.
func (r *rollout) crash(end func(victim *corev1.Pod)) (victim string) {
	r.t.Helper()
	worker := r.workers()[0]
	for i := range datasets {
		r.servers.graph.Always(datasetID(i), graphtest.Fault{AnswerDelay: 200 * time.Millisecond})
		defer r.servers.graph.Clear(datasetID(i))
	}
	r.await("it waits for answers", func() bool { return r.servers.graph.answers(worker.Status.PodIP) })
	end(&worker)
	r.await("it is gone, and its requests with it", func() bool {
		return r.node.process(containerID(&worker)) == "" && !r.servers.graph.answers(worker.Status.PodIP)
	})
	r.load.doubt(worker.Status.PodIP)
	r.awaitReplaced(containerID(&worker), 2)
	return worker.Name
}

func (r *rollout) await(what string, condition func() bool) {
	r.t.Helper()
	require.Eventually(r.t, condition, time.Minute, 10*time.Millisecond, what)
}

// upgrade moves to another image, with another configuration.
func (r *rollout) upgrade() {
	r.t.Helper()
	r.do("upgrade", "shop", chartDir, "--values", r.path("next.yaml"), "--wait", "--timeout", "2m")
	r.requireImage(r.next)
}

func (r *rollout) rollBack() {
	r.t.Helper()
	r.do("rollback", "shop", "1", "--wait", "--timeout", "2m")
	r.requireImage(r.first)
}

func (r *rollout) requireImage(digest string) {
	r.t.Helper()
	for _, worker := range r.workers() {
		require.Equal(r.t, repository+"@"+digest, worker.Spec.Containers[0].Image)
	}
}

// replaceToken replaces the access token, first at Meta's side: the datasets
// are paused, and go on by themselves when the kubelet has brought the Secret.
func (r *rollout) replaceToken() {
	r.t.Helper()
	before := r.containers()
	for i := range datasets {
		r.servers.graph.AddDataset(datasetID(i), "EAAB-second-token")
	}
	r.await("events wait", func() bool { return r.servers.size("CAPI_PARKED") > 100 })
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
	require.Empty(r.t, r.servers.refusals.all(), "the rights that docs/security.md names are enough")
}

// versions names what it all ran on.
func (r *rollout) versions() string {
	r.t.Helper()
	node, err := r.client.CoreV1().Nodes().Get(r.t.Context(), nodeName, metav1.GetOptions{})
	require.NoError(r.t, err)
	info, err := r.servers.redis.InfoMap(r.t.Context(), "server").Result()
	require.NoError(r.t, err)
	firstLine := func(program string, args ...string) string {
		out, err := exec.CommandContext(r.t.Context(), program, args...).Output()
		require.NoError(r.t, err)
		line, _, _ := strings.Cut(string(out), "\n")
		return line
	}
	on := node.Status.NodeInfo
	tidy := strings.NewReplacer("://", " ", "+unknown", "", " version", "")
	return tidy.Replace(fmt.Sprintf("Kubernetes %s, %s, %s, Linux %s, Helm %s, NATS %s, Redis %s", on.KubeletVersion, on.ContainerRuntimeVersion,
		firstLine("runc", "--version"), on.KernelVersion, firstLine(filepath.Join(binaries, r.helm), "version", "--template", "{{.Version}}"),
		server.VERSION, info["Server"]["redis_version"]))
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
	r.await("no process is left", func() bool { return r.node.ctr(nil, "tasks", "ls", "--quiet") == "" })
	require.NotZero(r.t, r.servers.size("CAPI"))
}
