package cluster_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// binaries is where `make cluster-test` has built everything.
const binaries = "../../.cache/cluster"

const adminToken = "admin-token"

// controlPlane is a running API server with what belongs to it.
type controlPlane struct {
	t          *testing.T
	dir        string
	kubeconfig string
	config     *rest.Config
	client     *kubernetes.Clientset
}

// start starts etcd, the API server, the controllers but for those named with a
// minus, and the scheduler, all on free ports of the loopback interface.
func start(t *testing.T, controllers ...string) *controlPlane {
	t.Helper()
	c := &controlPlane{t: t, dir: t.TempDir()}
	etcd, peer, port := address(t), address(t), freePort(t)
	c.write("tokens.csv", adminToken+",admin,admin,system:masters\n")
	c.writeKey()
	c.config = &rest.Config{
		Host: "https://127.0.0.1:" + port, BearerToken: adminToken, QPS: 1000, Burst: 1000,
		TLSClientConfig: rest.TLSClientConfig{Insecure: true},
	}
	c.kubeconfig = c.write("kubeconfig", fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, insecure-skip-tls-verify: true}}]
users: [{name: u, user: {token: %s}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
`, c.config.Host, adminToken))

	// The API server has to stop before etcd: without it, it does not.
	c.run("etcd", "--data-dir", filepath.Join(c.dir, "etcd"), "--unsafe-no-fsync", "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	c.run("kube-apiserver", "--etcd-servers="+etcd, "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port="+port,
		"--cert-dir="+filepath.Join(c.dir, "pki"), "--service-cluster-ip-range=10.0.0.0/24", "--endpoint-reconciler-type=none",
		"--service-account-key-file="+c.path("sa.pub"), "--service-account-signing-key-file="+c.path("sa.key"),
		"--service-account-issuer=https://kubernetes.default.svc", "--token-auth-file="+c.path("tokens.csv"), "--authorization-mode=RBAC",
		"--kubelet-preferred-address-types=InternalIP") // names of nodes are known to no DNS
	client, err := kubernetes.NewForConfig(c.config)
	require.NoError(t, err)
	c.client = client
	require.Eventually(t, func() bool {
		_, err := client.RESTClient().Get().AbsPath("/readyz").DoRaw(t.Context())
		return err == nil
	}, 2*time.Minute, 100*time.Millisecond, "the API server does not get ready")
	c.run("kube-controller-manager", "--kubeconfig="+c.kubeconfig, "--service-account-private-key-file="+c.path("sa.key"), "--leader-elect=false",
		"--bind-address=127.0.0.1", "--secure-port="+freePort(t), "--cert-dir="+filepath.Join(c.dir, "pki-kcm"), "--controllers="+strings.Join(append([]string{"*"}, controllers...), ","))
	c.run("kube-scheduler", "--kubeconfig="+c.kubeconfig, "--leader-elect=false", "--bind-address=127.0.0.1", "--secure-port="+freePort(t),
		"--cert-dir="+filepath.Join(c.dir, "pki-scheduler"))
	return c
}

// run starts a program, with its log in a file, and stops it with the test, in
// reverse order.
func (c *controlPlane) run(name string, args ...string) {
	c.t.Helper()
	log, err := os.Create(c.path(name + ".log"))
	require.NoError(c.t, err)
	cmd := exec.Command(filepath.Join(binaries, name), args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(c.t, cmd.Start(), "run make cluster-test")
	c.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		timer.Stop()
		if c.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			c.t.Logf("%s: …%s", name, text[max(0, len(text)-2000):])
		}
	})
}

func (c *controlPlane) path(name string) string { return filepath.Join(c.dir, name) }

func (c *controlPlane) write(name, text string) string {
	c.t.Helper()
	require.NoError(c.t, os.WriteFile(c.path(name), []byte(text), 0o600))
	return c.path(name)
}

// writeKey writes the key that tokens of service accounts are signed with.
func (c *controlPlane) writeKey() {
	c.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(c.t, err)
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(c.t, err)
	c.write("sa.key", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	c.write("sa.pub", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))
}

func address(t *testing.T) string {
	t.Helper()
	return "http://127.0.0.1:" + freePort(t)
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	return port
}
