package cluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	nodeName = "node"
	cniDir   = "/usr/lib/cni" // where Debian has them
)

// node is a real node: containerd and kubelet. It has neither kube-proxy nor
// DNS: what the workers talk to is at addresses of the node.
type node struct {
	*controlPlane

	socket string // of containerd
}

// addNode starts a node, in the sandbox, and waits until it is ready.
func (c *controlPlane) addNode() *node {
	c.t.Helper()
	n := &node{controlPlane: c, socket: c.path("containerd.sock")}
	pause := pauseImage(c.t)
	digest, err := pause.Digest()
	require.NoError(c.t, err)
	n.startContainerd(pauseName + "@" + digest.String())
	n.load(pauseName, pause)
	n.startKubelet()
	require.Eventually(c.t, n.isReady, time.Minute, 100*time.Millisecond, "the node does not get ready")
	return n
}

func (n *node) isReady() bool {
	node, err := n.client.CoreV1().Nodes().Get(n.t.Context(), nodeName, metav1.GetOptions{})
	if err != nil || len(node.Spec.Taints) > 0 {
		return false
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (n *node) startContainerd(pause string) {
	n.t.Helper()
	path, err := filepath.Abs(binaries)
	require.NoError(n.t, err)
	n.t.Setenv("PATH", path+":"+os.Getenv("PATH")) // its shim is built like it
	require.NoError(n.t, os.Mkdir(n.path("cni"), 0o755))
	n.write("cni/bridge.conflist", `{
  "cniVersion": "1.0.0", "name": "pods",
  "plugins": [{
    "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24", "gateway": "`+nodeIP+`"}]], "dataDir": "`+n.path("cni")+`"}
  }]
}`)
	// Raising a process' chances to survive takes a capability that root in a
	// container or a small virtual machine may lack.
	config := n.write("containerd.toml", fmt.Sprintf(`version = 3
root = %q
state = "/run/containerd"
[grpc]
address = %q
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = %q
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [%q]
conf_dir = %q
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = false
`, n.path("containerd"), n.socket, pause, cniDir, n.path("cni")))
	n.run("containerd", "--config", config)
	require.Eventually(n.t, func() bool {
		_, err := os.Stat(n.socket)
		return err == nil
	}, time.Minute, 50*time.Millisecond, "containerd does not start")
}

func (n *node) startKubelet() {
	n.t.Helper()
	// It takes orders from anybody: there is nobody else in the sandbox.
	config := n.write("kubelet.yaml", fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
address: %[1]s
clusterDNS: [%[1]s]
resolvConf: %[2]s
containerRuntimeEndpoint: unix://%[3]s
cgroupDriver: cgroupfs
cgroupRoot: /%[4]s
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
enforceNodeAllocatable: []
evictionHard: {memory.available: 0%%, nodefs.available: 0%%, nodefs.inodesFree: 0%%, imagefs.available: 0%%}
podLogsDir: %[5]s
syncFrequency: 5s
`, nodeIP, n.write("resolv.conf", "nameserver "+nodeIP+"\n"), n.socket, os.Getenv(cgroupVariable), n.path("logs")))
	n.t.Cleanup(func() { _ = unix.Unmount(n.path("kubelet"), unix.MNT_DETACH) }) // with all volumes of pods
	n.run("kubelet", "--config="+config, "--kubeconfig="+n.kubeconfig, "--node-ip="+nodeIP, "--hostname-override="+nodeName,
		"--root-dir="+n.path("kubelet"), "--cert-dir="+n.path("kubelet-pki"))
}

// process is the id of a container's process; empty if it does not run.
func (n *node) process(container string) string {
	n.t.Helper()
	running := regexp.MustCompile(container + ` +(\d+) +RUNNING`).FindStringSubmatch(n.ctr(nil, "tasks", "ls"))
	if running == nil {
		return ""
	}
	return running[1]
}

// requireRestricted asks the kernel what a container's process may do.
func (n *node) requireRestricted(container string) {
	n.t.Helper()
	process := filepath.Join("/proc", n.process(container))
	status := readFile(n.t, filepath.Join(process, "status"))
	for _, want := range []string{"Uid:\t65532\t", "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
		require.Contains(n.t, status, want)
	}
	require.Regexp(n.t, `(?m)^\S+ / \S+ ro,`, readFile(n.t, filepath.Join(process, "mounts")), "the root is read-only")
}
