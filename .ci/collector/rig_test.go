package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe/dedupetest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
	"github.com/capi-dispatcher/capi-dispatcher/internal/porttest"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

const token = "EAAB-secret-token"

// programs builds the worker as it is shipped, and the collector, once for all
// tests.
var programs = sync.OnceValues(func() (dir string, err error) {
	dir, err = os.MkdirTemp("", "capi-dispatcher-collector-")
	if err != nil {
		return "", err
	}
	for _, build := range []struct{ in, what, to string }{
		{"../..", "./cmd/capi-dispatcher", "capi-dispatcher"}, {".", ".", "collector"},
	} {
		cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, build.to), build.what)
		cmd.Dir = build.in
		if out, err := cmd.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("building %s: %w: %s", build.to, err, out)
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := programs(); dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// rig is a worker between real servers, whose telemetry goes through a real
// Collector to a backend.
type rig struct {
	*graphtest.API

	t          *testing.T
	backend    *backend
	collector  *running
	grpc, http string // addresses of the collector
	js         jetstream.JetStream
	config     config.Config
	dir        string
	worker     *running
}

// setup starts everything but the worker.
func setup(t *testing.T) *rig {
	t.Helper()
	r := &rig{
		t: t, API: graphtest.New(graphtest.Config{Latency: time.Millisecond, KeepEvents: true}), dir: t.TempDir(),
		backend: newBackend(t),
		grpc:    fmt.Sprint("127.0.0.1:", porttest.Port(t)), http: fmt.Sprint("127.0.0.1:", porttest.Port(t)),
	}
	r.startCollector()
	server := natstest.Start(t)
	r.js = server.JetStream()
	api := httptest.NewServer(r.API)
	t.Cleanup(api.Close)
	r.config = config.Default()
	r.config.NATS.URL, r.config.Redis.URL = secret.URLs(server.URL()), secret.URLs(dedupetest.Start(t).URL())
	r.config.NATS.AckWait = 10 * time.Second
	r.config.Graph.URL, r.config.Graph.Timeout = api.URL, 5*time.Second
	r.config.Graph.TokenDir, r.config.Graph.ResolveDatasets = filepath.Join(r.dir, "tokens"), true
	r.config.Delivery.Retry.Budget = 0
	r.config.Delivery.Park = retry.Backoff{Initial: time.Second, Max: time.Minute}
	r.config.Admin.Address = "127.0.0.1:0" // its log tells which
	require.NoError(t, os.Mkdir(r.config.Graph.TokenDir, 0o700))
	r.writeToken("default", token)
	return r
}

func (r *rig) writeToken(name, text string) {
	r.t.Helper()
	file := filepath.Join(r.config.Graph.TokenDir, name)
	require.NoError(r.t, os.WriteFile(file+"~", []byte(text), 0o600))
	require.NoError(r.t, os.Rename(file+"~", file)) // nobody reads half of it
}

func (r *rig) startCollector() {
	r.t.Helper()
	r.collector = r.launch("collector", []string{
		"BACKEND=" + r.backend.URL, "COLLECTOR_GRPC=" + r.grpc, "COLLECTOR_HTTP=" + r.http,
	}, "collector", "--config", "collector.yaml")
	r.await("the collector listens", func() bool { return listens(r.grpc) && listens(r.http) })
}

func listens(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// exporting is the environment of a program whose telemetry goes to the collector.
func (r *rig) exporting() []string {
	return []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + r.grpc, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_BSP_SCHEDULE_DELAY=50",
	}
}

// startWorker runs a worker, and waits until it is ready.
func (r *rig) startWorker(env ...string) {
	r.t.Helper()
	r.worker = r.launch("worker", append(r.exporting(), env...), "capi-dispatcher", "run", "--config", r.configFile())
	r.await("the worker is ready", func() bool {
		body, err := r.get("/readyz")
		return err == nil && strings.Contains(body, `"ready": true`)
	})
}

// listening is how the log tells where the admin port is.
var listening = regexp.MustCompile(`"msg":"dispatching".*"admin":"([^"]+)"`)

func (r *rig) get(path string) (string, error) {
	admin := listening.FindStringSubmatch(r.worker.output(r.t))
	if admin == nil {
		return "", errors.New("the worker has not begun")
	}
	response, err := http.Get("http://" + admin[1] + path)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

func (r *rig) configFile() string {
	r.t.Helper()
	text, err := r.config.YAML()
	require.NoError(r.t, err)
	file := filepath.Join(r.dir, "config.yaml")
	require.NoError(r.t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// in is the rig for a test within the test.
func (r *rig) in(t *testing.T) *rig {
	t.Helper()
	within := *r
	within.t = t
	return &within
}

// run runs a verb of the program to its end.
func (r *rig) run(stdin string, env []string, args ...string) {
	r.t.Helper()
	dir, err := programs()
	require.NoError(r.t, err)
	cmd := exec.CommandContext(r.t.Context(), filepath.Join(dir, "capi-dispatcher"), append([]string{"--config", r.configFile()}, args...)...)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(stdin), &errs
	cmd.Env = append(append(os.Environ(), r.exporting()...), env...)
	require.NoError(r.t, cmd.Run(), errs.String())
}

// publish puts a message on the stream, in a trace of its producer's.
func (r *rig) publish(to, trace, data string) {
	r.t.Helper()
	_, err := r.js.PublishMsg(r.t.Context(), &nats.Msg{
		Subject: "capi.events." + to, Data: []byte(data),
		Header: nats.Header{"traceparent": {"00-" + trace + "-" + producerSpan + "-01"}, "baggage": {"shop=7"}},
	})
	require.NoError(r.t, err)
}

func (r *rig) await(what string, condition func() bool) {
	r.t.Helper()
	require.Eventually(r.t, condition, time.Minute, 10*time.Millisecond, what)
}

// running is a program that runs beside the test.
type running struct {
	cmd   *exec.Cmd
	log   string // path
	ended chan error
}

func (r *rig) launch(name string, env []string, program string, args ...string) *running {
	r.t.Helper()
	dir, err := programs()
	require.NoError(r.t, err)
	log, err := os.CreateTemp(r.dir, name+"-*.log")
	require.NoError(r.t, err)
	defer func() { _ = log.Close() }() // the program has its own
	p := &running{log: log.Name(), ended: make(chan error, 1)}
	p.cmd = exec.CommandContext(context.WithoutCancel(r.t.Context()), filepath.Join(dir, program), args...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = log, log, append(os.Environ(), env...)
	require.NoError(r.t, p.cmd.Start())
	go func() { p.ended <- p.cmd.Wait(); close(p.ended) }()
	r.t.Cleanup(func() {
		if r.t.Failed() {
			const most = 4000
			text := p.output(r.t)
			r.t.Logf("the %s's log ends so:\n%s", name, text[max(0, len(text)-most):])
		}
		p.signal(syscall.SIGCONT)
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	return p
}

func (p *running) output(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(p.log)
	require.NoError(t, err)
	return string(text)
}

func (p *running) signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

// stop ends the process well, and returns how long that took.
func (p *running) stop(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	p.signal(syscall.SIGTERM)
	select {
	case err := <-p.ended:
		require.NoError(t, err)
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
	return time.Since(began)
}

// memory is how many bytes the process holds.
func (p *running) memory(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(t, err)
	var kilobytes int
	_, err = fmt.Sscanf(string(regexp.MustCompile(`VmRSS:\s*\d+`).Find(status)), "VmRSS: %d", &kilobytes)
	require.NoError(t, err)
	return kilobytes << 10
}
