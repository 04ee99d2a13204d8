//go:build keda

package cluster_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// KEDA's operator starts a worker when events wait and none is there, and ends
// the last one when none wait any more. (From one to many it takes a
// HorizontalPodAutoscaler, which is Kubernetes' own.)
func TestScalingFromZeroAndBack(t *testing.T) {
	if !inSandbox(t) {
		return
	}
	r := newRollout(t)
	r.startKEDA()
	r.prepare()
	scaled := r.write("keda.yaml", fmt.Sprintf(`
keda:
  enabled: true
  minReplicaCount: 0
  maxReplicaCount: 1
  monitoringEndpoint: %q
  account: %q
  pollingInterval: 2
  cooldownPeriod: 5
  fallback: {replicas: 1}
`, r.servers.nats.MonitorAddr().String(), r.servers.account.Name))
	r.do("install", "shop", chartDir, "--values", r.values, "--values", scaled, "--wait", "--timeout", "2m")

	r.scalesTo(0)
	const events = 1000
	for i := range events {
		r.load.put(graphtest.Event{Dataset: datasetID(i % datasets), Name: "Purchase", ID: fmt.Sprintf("order-%d", i)}, false)
	}
	r.scalesTo(1)
	r.await("all events are accepted", func() bool { return r.load.books().accepted == events })
	r.scalesTo(0)
	b := r.load.books()
	require.Zero(t, b.lost)
	require.Zero(t, b.twice)
	require.Empty(t, r.servers.refusals.all())

	r.do("uninstall", "shop", "--wait", "--timeout", "1m")
	r.requireNothingLeft()
}

// scalesTo waits until there are so many workers.
func (r *rollout) scalesTo(workers int) {
	r.t.Helper()
	began := time.Now()
	r.await(fmt.Sprintf("%d workers", workers), func() bool { return len(r.workers()) == workers })
	r.t.Logf("%d workers after %s", workers, time.Since(began).Round(100*time.Millisecond))
}

// startKEDA starts the operator beside the control plane.
func (r *rollout) startKEDA() {
	r.t.Helper()
	const namespace = "keda"
	_, err := r.client.CoreV1().Namespaces().Create(r.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	require.NoError(r.t, err)
	for name, value := range map[string]string{
		"KUBECONFIG": r.kubeconfig, "WATCH_NAMESPACE": "", "POD_NAMESPACE": namespace,
		"KEDA_CLUSTER_OBJECT_NAMESPACE": namespace, // else it asks the files of its pod
	} {
		r.t.Setenv(name, value)
	}
	r.defineKEDA()

	// It talks to nobody but the metrics adapter with these, which is not there.
	require.NoError(r.t, os.Mkdir(r.path("certs"), 0o755))
	for file, from := range map[string]string{"tls.crt": "apiserver.crt", "tls.key": "apiserver.key", "ca.crt": "apiserver.crt"} {
		r.write("certs/"+file, readFile(r.t, r.path("pki/"+from)))
	}
	r.run("keda-operator", "--cert-dir="+r.path("certs"), "--enable-apiservice-patching=false", "--enable-webhook-patching=false",
		"--metrics-bind-address=127.0.0.1:0", "--health-probe-bind-address=127.0.0.1:0", "--metrics-service-bind-address=127.0.0.1:9666")
}

// defineKEDA adds all of KEDA's custom resources, of the version that the
// operator is built from.
func (r *rollout) defineKEDA() {
	r.t.Helper()
	cmd := exec.CommandContext(context.Background(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/kedacore/keda/v2")
	cmd.Dir = "keda"
	dir, err := cmd.Output()
	require.NoError(r.t, err)
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "config/crd/bases/*.yaml"))
	require.NoError(r.t, err)
	require.NotEmpty(r.t, files)
	for _, file := range files {
		r.defineAll(readFile(r.t, file))
	}
}
