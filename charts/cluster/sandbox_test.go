package cluster_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const (
	// nodeIP is the address of the node, for its pods: on a bridge that is in
	// no other network namespace.
	nodeIP = "10.88.0.1"

	cgroupRoot  = "/sys/fs/cgroup"
	cgroupsName = "capi-dispatcher-test-"
	// cgroupVariable names the control group of the pods, and tells a process
	// that it is in the sandbox.
	cgroupVariable = "CAPI_DISPATCHER_TEST_CGROUP"
)

// inSandbox reports whether this process is in namespaces of its own, for
// processes, mounts and the network. If it is not, it runs the test again, in a
// process that is: whatever that leaves behind, processes, containers, mounts,
// interfaces and files, the kernel removes when it ends, also when it is
// killed. Nothing in there can talk to anybody outside.
func inSandbox(t *testing.T) bool {
	t.Helper()
	if os.Getenv(cgroupVariable) != "" {
		furnish(t)
		return true
	}
	requireMachine(t)
	cgroup := cgroupsName + strconv.Itoa(os.Getpid())
	removeCgroups(t, func(name string) bool { return !isAlive(strings.TrimPrefix(name, cgroupsName)) })
	makeCgroups(t, cgroup)
	t.Cleanup(func() {
		require.Empty(t, removeCgroups(t, func(name string) bool { return name == cgroup }), "control groups are left over")
	})
	require.NoError(t, again(t, cgroup), "the test failed in its sandbox: see above")
	return false
}

// again runs the test in the sandbox.
func again(t *testing.T, cgroup string) error {
	t.Helper()
	// The kernel kills the process when the thread ends that has started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.v", "-test.run=^"+t.Name()+"$")
	// What the sandbox needs a place for is in its own /run.
	cmd.Env = append(os.Environ(), cgroupVariable+"="+cgroup, "TMPDIR=/run")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL,
	}
	return cmd.Run()
}

// requireMachine says what is missing.
func requireMachine(t *testing.T) {
	t.Helper()
	require.Zero(t, os.Geteuid(), "a node needs root: run make cluster-test as root")
	for program, from := range map[string]string{
		"runc": "runc", "ip": "iproute2", "redis-server": "redis-server", filepath.Join(cniDir, "bridge"): "containernetworking-plugins",
	} {
		_, err := exec.LookPath(program)
		require.NoError(t, err, "please install %s (Debian's package %s), or run make cluster-test, which does", program, from)
	}
}

// furnish makes the sandbox a place to live in: files that are written are in
// memory, and the network is a bridge with the node's address.
func furnish(t *testing.T) {
	t.Helper()
	require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), "no mount gets out")
	require.NoError(t, unix.Mount("proc", "/proc", "proc", 0, ""))
	require.NoError(t, unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"))
	for _, dir := range []string{"/run/var", "/run/work"} {
		require.NoError(t, os.Mkdir(dir, 0o755))
	}
	// kubelet, containerd and the network plugins write below /var, wherever
	// else they are told to.
	require.NoError(t, unix.Mount("overlay", "/var", "overlay", 0, "lowerdir=/var,upperdir=/run/var,workdir=/run/work"))
	for _, command := range []string{
		"ip link set lo up", "ip link add cni0 type bridge", "ip address add " + nodeIP + "/24 dev cni0", "ip link set cni0 up",
	} {
		words := strings.Fields(command)
		out, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput()
		require.NoError(t, err, "%s: %s", command, out)
	}
}

func isAlive(pid string) bool {
	_, err := os.Stat(filepath.Join("/proc", pid))
	return err == nil
}

// hierarchies are where control groups are: one directory with cgroup v2, one
// for each controller with v1.
func hierarchies(t *testing.T) []string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		return []string{cgroupRoot}
	}
	var dirs []string
	for _, m := range regexp.MustCompile(`(?m) (`+cgroupRoot+`/\S+) .* - cgroup`).FindAllStringSubmatch(readFile(t, "/proc/self/mountinfo"), -1) {
		dirs = append(dirs, m[1])
	}
	return dirs
}

func makeCgroups(t *testing.T, name string) {
	t.Helper()
	for _, dir := range hierarchies(t) {
		for _, controller := range []string{"+cpuset", "+cpu", "+io", "+memory", "+hugetlb", "+pids"} {
			// Version 2 wants to be told for whom; those that are missing the kubelet names.
			_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(controller), 0o600)
		}
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
}

// removeCgroups removes the control groups of tests, and returns those that are
// still there.
func removeCgroups(t *testing.T, which func(name string) bool) (left []string) {
	t.Helper()
	for _, dir := range hierarchies(t) {
		tests, err := filepath.Glob(filepath.Join(dir, cgroupsName+"*"))
		require.NoError(t, err)
		for _, path := range tests {
			if which(filepath.Base(path)) {
				left = append(left, removeCgroup(path)...)
			}
		}
	}
	return left
}

// removeCgroup removes a control group and those below it. They are only
// directories; the kernel keeps those that still have processes.
func removeCgroup(path string) (left []string) {
	entries, _ := os.ReadDir(path)
	for _, entry := range entries {
		if entry.IsDir() {
			left = append(left, removeCgroup(filepath.Join(path, entry.Name()))...)
		}
	}
	if err := os.Remove(path); err != nil {
		left = append(left, fmt.Sprint(err))
	}
	return left
}
