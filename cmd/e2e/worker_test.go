package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
)

// program is the binary, built once for all tests: with the race detector, so
// that a race in it ends it with an error.
var program = sync.OnceValues(func() (string, error) { return build("-race") })

// shipped is the binary as it is shipped, for figures that count.
var shipped = sync.OnceValues(func() (string, error) { return build("-trimpath") })

func build(flag string) (string, error) {
	dir, err := os.MkdirTemp("", "capi-dispatcher-e2e-")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "capi-dispatcher")
	out, err := exec.Command("go", "build", flag, "-o", binary, "../capi-dispatcher").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return binary, nil
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, built := range []func() (string, error){program, shipped} {
		if binary, err := built(); err == nil {
			_ = os.RemoveAll(filepath.Dir(binary))
		}
	}
	os.Exit(code)
}

// worker is a running process of `capi-dispatcher run`.
type worker struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   *os.File
	ended chan error
}

// kill ends the process at once and waits until it is gone.
func (w *worker) kill() {
	w.t.Helper()
	require.NoError(w.t, w.cmd.Process.Kill())
	<-w.ended
}

// freeze stops the process where it stands, until it gets SIGCONT.
func (w *worker) freeze() {
	w.t.Helper()
	require.NoError(w.t, w.cmd.Process.Signal(syscall.SIGSTOP))
	require.Eventually(w.t, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.cmd.Process.Pid))
		return err == nil && bytes.Contains(stat, []byte(") T "))
	}, 10*time.Second, time.Millisecond, "the worker stands still")
}

// stop tells the process to end, and returns how long it took. It must end
// well.
func (w *worker) stop() time.Duration {
	w.t.Helper()
	began := time.Now()
	require.NoError(w.t, w.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-w.ended:
		require.NoError(w.t, err, "exit code")
	case <-time.After(time.Minute):
		w.t.Fatal("the worker does not end")
	}
	return time.Since(began)
}

// readiness is what /readyz says; nothing if there is no answer.
type readiness struct {
	Ready      bool
	Conditions []health.Condition
}

func (w *worker) readiness() (answer readiness) {
	body, err := w.get("/readyz")
	if err == nil {
		_ = json.Unmarshal([]byte(body), &answer)
	}
	return answer
}

func (r readiness) ok(name string) bool {
	for _, c := range r.Conditions {
		if c.Name == name {
			return c.OK
		}
	}
	return false
}

// reason is why a condition does not hold; empty if it does.
func (r readiness) reason(name string) string {
	for _, c := range r.Conditions {
		if c.Name == name {
			return c.Reason
		}
	}
	return ""
}

// listening is how the log tells where the admin port is.
var listening = regexp.MustCompile(`"msg":"(?:dispatching|taking webhooks)".*"admin":"([^"]+)"`)

// get asks the admin port, if there is one yet.
func (w *worker) get(path string) (string, error) {
	log, err := os.ReadFile(w.log.Name())
	if err != nil {
		return "", err
	}
	admin := listening.FindSubmatch(log)
	if admin == nil {
		return "", errors.New("the worker has not begun")
	}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+string(admin[1])+path, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}
