package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

// rig is everything around the program.
type rig struct {
	*graphtest.API

	t      *testing.T
	nats   *natstest.Server
	redis  *dedupetest.Server
	js     jetstream.JetStream
	graph  *graphServer
	config config.Config
	dir    string
	files  atomic.Int64 // of configurations and logs
	env    []string     // of the program, beside ours
	// lead writes where the servers are.
	lead func(cfg *config.Config)
}

// setup starts all servers. The configuration has short times, so that a crash
// is noticed soon, but longer ones than the slowest machine needs for a request:
// a timeout would be one more reason to send an event again. change may change
// it.
func setup(t *testing.T, change ...func(*config.Config)) *rig {
	t.Helper()
	r := &rig{
		t: t, API: graphtest.New(graphtest.Config{Latency: 20 * time.Millisecond, KeepEvents: true}), dir: t.TempDir(),
		nats:  natstest.Start(t),
		redis: dedupetest.Start(t, "--appendonly", "yes", "--appendfsync", "always"),
	}
	r.js = r.nats.JetStream()
	r.graph = newGraphServer(t, r.API)
	r.lead = func(cfg *config.Config) {
		cfg.NATS.URL, cfg.Redis.URL = secret.URLs(r.nats.URL()), secret.URLs(r.redis.URL())
		cfg.Graph.URL = "http://" + r.graph.address
	}
	r.configure(change)
	return r
}

// configure sets everything that is not the servers' addresses: short times,
// so that a crash is noticed soon.
func (r *rig) configure(change []func(*config.Config)) {
	t := r.t
	t.Helper()
	r.config = config.Default()
	r.config.NATS.AckWait = 10 * time.Second
	r.config.Graph.Timeout = 5 * time.Second
	r.config.Graph.TokenDir = filepath.Join(r.dir, "tokens")
	r.config.Delivery.Park = retry.Backoff{Initial: time.Second, Max: 2 * time.Second}
	r.config.Delivery.DrainTimeout = 10 * time.Second
	r.config.Admin.Address = "127.0.0.1:0" // each worker's log tells which it is
	require.NoError(t, os.Mkdir(r.config.Graph.TokenDir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(r.config.Graph.TokenDir, "default"), []byte(token), 0o600))
	for _, c := range change {
		c(&r.config)
	}
}

// graphServer serves the simulated API on an address that it keeps when it
// goes away and comes back.
type graphServer struct {
	t       *testing.T
	api     http.Handler
	address string
	running *http.Server
	serving sync.WaitGroup
	open    atomic.Int64 // connections
}

func newGraphServer(t *testing.T, api http.Handler) *graphServer {
	t.Helper()
	g := &graphServer{t: t, api: api, address: fmt.Sprint("127.0.0.1:", porttest.Port(t))}
	g.comeBack()
	t.Cleanup(func() {
		if g.running != nil {
			_ = g.running.Close()
		}
	})
	return g
}

func (g *graphServer) comeBack() {
	g.t.Helper()
	porttest.AwaitFree(g.t, g.address)
	listener, err := net.Listen("tcp", g.address)
	require.NoError(g.t, err)
	g.running = &http.Server{Handler: g.api, ReadHeaderTimeout: time.Minute, ConnState: g.count}
	server := g.running
	g.serving.Go(func() { _ = server.Serve(listener) })
}

func (g *graphServer) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		g.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		g.open.Add(-1)
	}
}

// goAway refuses connections, and answers what is under way; but for what is not
// through after so long, such as requests that somebody has begun to write and
// does not go on with: those connections are closed. When it returns, nothing
// more is being done.
func (g *graphServer) goAway(patience time.Duration) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	if g.running.Shutdown(ctx) != nil {
		require.NoError(g.t, g.running.Close())
	}
	g.serving.Wait() // else a connection just accepted may still be served
	require.Eventually(g.t, func() bool { return g.open.Load() == 0 }, time.Minute, time.Millisecond, "all connections are closed")
	g.running = nil
}

// configFile writes the configuration the way a user would.
func (r *rig) configFile() string {
	r.t.Helper()
	cfg := r.config
	r.lead(&cfg)
	text, err := cfg.YAML()
	require.NoError(r.t, err)
	// A worker that is starting may be reading its own.
	file := filepath.Join(r.dir, fmt.Sprintf("config-%d.yaml", r.files.Add(1)))
	require.NoError(r.t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// start runs a worker and waits until it is ready.
func (r *rig) start() *worker {
	r.t.Helper()
	w := r.launch(program)
	r.await("the worker is ready", func() bool { return w.readiness().Ready })
	return w
}

func (r *rig) launch(built func() (string, error)) *worker {
	r.t.Helper()
	return r.launchVerb(built, "run")
}

// launchVerb runs a verb that goes on until it is told to stop.
func (r *rig) launchVerb(built func() (string, error), verb string) *worker {
	r.t.Helper()
	binary, err := built()
	require.NoError(r.t, err)
	log, err := os.Create(filepath.Join(r.dir, fmt.Sprintf("worker-%04d.log", r.files.Add(1))))
	require.NoError(r.t, err)
	w := &worker{t: r.t, log: log, ended: make(chan error, 1)}
	w.cmd = exec.CommandContext(context.WithoutCancel(r.t.Context()), binary, verb, "--config", r.configFile())
	w.cmd.Stdout, w.cmd.Stderr, w.cmd.Env = log, log, append(os.Environ(), r.env...)
	require.NoError(r.t, w.cmd.Start())
	go func() { w.ended <- w.cmd.Wait(); close(w.ended) }()
	r.t.Cleanup(func() {
		if r.t.Failed() && w.cmd.ProcessState == nil {
			text, _ := w.get("/metrics")
			r.t.Log(regexp.MustCompile("(?m)^capi_(events|messages|batches|senders|cond).*$").FindAllString(text, -1))
			r.printLog()
		}
		_ = w.cmd.Process.Kill()
		<-w.ended
		_ = log.Close()
	})
	return w
}

// logs are what all workers have written, one after the other.
func (r *rig) logs() string {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.dir, "worker-*.log"))
	require.NoError(r.t, err)
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(r.t, err)
		all.Write(text)
	}
	return all.String()
}

// printLog shows how the workers' log ends, if the test has failed.
func (r *rig) printLog() {
	const most = 8000
	text := r.logs()
	text = text[max(0, len(text)-most):]
	for _, name := range []string{"CAPI", "CAPI_PARKED"} {
		if consumer, err := r.js.Consumer(context.Background(), name, "capi-dispatcher"); err == nil {
			i := consumer.CachedInfo()
			r.t.Logf("%s: %d pending, %d unacknowledged, %d redelivered; stream has %d", name, i.NumPending, i.NumAckPending, i.NumRedelivered, r.size(name))
		}
	}
	distinct, again := r.Ledger().Distinct()
	r.t.Logf("ledger: %d events, %d again; %d dead letters", distinct, again, r.size("CAPI_DLQ"))
	r.t.Logf("the worker's log ends so:\n%s", text)
}

func (r *rig) await(what string, condition func() bool) {
	r.t.Helper()
	r.awaitFor(time.Minute, what, condition)
}

func (r *rig) awaitFor(patience time.Duration, what string, condition func() bool) {
	r.t.Helper()
	require.Eventually(r.t, condition, patience, 10*time.Millisecond, what)
}

// awaitQuiet waits until no message is unprocessed, in flight or parked.
func (r *rig) awaitQuiet() {
	r.t.Helper()
	r.awaitFor(3*time.Minute, "nothing is left to do", func() bool {
		return natstest.Done(r.t.Context(), r.js, "CAPI", "capi-dispatcher") && r.size("CAPI_PARKED") == 0
	})
}

func (r *rig) size(name string) int {
	r.t.Helper()
	stream, err := r.js.Stream(context.Background(), name)
	if err != nil {
		return -1
	}
	return int(stream.CachedInfo().State.Msgs)
}

// run runs a verb of the program to its end.
func (r *rig) run(args ...string) (stdout, stderr string, code int) {
	r.t.Helper()
	return r.runWith(nil, args...)
}

func (r *rig) runWith(stdin io.Reader, args ...string) (stdout, stderr string, code int) {
	r.t.Helper()
	binary, err := shipped()
	require.NoError(r.t, err)
	cmd := exec.CommandContext(r.t.Context(), binary, append([]string{"--config", r.configFile()}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = stdin, &out, &errs, append(os.Environ(), r.env...)
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}
