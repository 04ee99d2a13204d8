package test_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/nats-io/nats-server/v2/server"
	natsclient "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// worker is the program, with no more rights in NATS than the guide asks for,
// run the way the chart's container runs it: with its
// arguments, its environment and its configuration. Only the addresses of the
// servers and of the admin port are of this machine.
type worker struct {
	t       *testing.T
	command *exec.Cmd
	address string
	api     *graphtest.API
	js      jetstream.JetStream
	pod     corev1.PodSpec
}

const token = "EAAB-a-token"

func startWorker(t *testing.T, values ...string) *worker {
	t.Helper()
	r := render(t, append(values, "streams: {owner: external}")...)
	w := &worker{t: t, api: graphtest.New(graphtest.Config{}), pod: deployment(r).Spec.Template.Spec}
	nats, redis, graph := natstest.StartWith(t, &server.Options{Users: users(t)}), miniredis.RunT(t), httptest.NewServer(w.api)
	t.Cleanup(graph.Close)
	w.js = nats.JetStream(natsclient.UserInfo("admin", "admin"))
	cfg := configOf(r, fullname).NATS.Streams
	cfg.Manage = true
	set := streams.New(cfg, w.js, func(warning string) { t.Error(warning) })
	require.NoError(t, set.Ensure(t.Context()))
	require.NoError(t, set.EnsureConsumers(t.Context()))

	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		return file
	}
	write("default", token)
	keys := write("people.keys", "k1 "+strings.Repeat("A", 43)+"=")
	file := write("config.yaml", get[corev1.ConfigMap](r, "ConfigMap", fullname).Data["config.yaml"])

	container := w.pod.Containers[0]
	args := slices.Clone(container.Args)
	require.Equal(t, []string{"run", "--config", "/etc/capi-dispatcher/config/config.yaml"}, args)
	args[2] = file
	w.command = exec.CommandContext(t.Context(), build(t), args...)
	w.command.Env = append(os.Environ(), "CAPI_NATS_URL="+strings.Replace(nats.URL(), "://", "://worker:worker@", 1), "CAPI_REDIS_URL=redis://"+redis.Addr(), "CAPI_GRAPH_URL="+graph.URL,
		"CAPI_GRAPH_TOKEN_DIR="+dir, "CAPI_ADMIN_ADDRESS=127.0.0.1:0", "CAPI_ATTRIBUTION_KEY_FILE="+keys)
	for _, variable := range container.Env {
		w.command.Env = append(w.command.Env, variable.Name+"="+variable.Value)
	}
	w.start()
	return w
}

// users are one that may do everything, one for the worker, and one that makes
// streams, with the rights that docs/security.md lists.
func users(t *testing.T) []*server.User {
	t.Helper()
	roles := natstest.Documented(t, "../../docs/security.md")
	return []*server.User{
		{Username: "admin", Password: "admin"},
		{Username: "worker", Password: "worker", Permissions: roles["Worker"].Permissions()},
		{Username: "maker", Password: "maker", Permissions: roles["Maker of the streams"].Permissions()},
	}
}

// The rights that the guide lists for making streams are enough, and those of
// a worker are not.
func TestTheRightsToMakeStreams(t *testing.T) {
	t.Parallel()
	nats := natstest.StartWith(t, &server.Options{Users: users(t)})
	ensure := func(user string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		js := nats.JetStream(natsclient.UserInfo(user, user), natsclient.CustomInboxPrefix("_INBOX_capi_worker"))
		set := streams.New(config.Default().NATS.Streams, js, func(warning string) { t.Error(warning) })
		return errors.Join(set.Ensure(ctx), set.EnsureConsumers(ctx))
	}
	require.Error(t, ensure("worker"))
	require.NoError(t, ensure("maker"))
	require.NoError(t, ensure("maker"), "again")
}

// build builds the program.
func build(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "capi-dispatcher")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", file, "./cmd/capi-dispatcher")
	cmd.Dir = "../.."
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return file
}

// start starts the program and reads the address of its admin port from its
// log.
func (w *worker) start() {
	w.t.Helper()
	log, err := w.command.StderrPipe()
	require.NoError(w.t, err)
	require.NoError(w.t, w.command.Start())
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct{ Admin string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Admin != "" {
			w.address = line.Admin
			go func() { _, _ = io.Copy(io.Discard, log) }()
			return
		}
		w.t.Log(lines.Text())
	}
	require.Fail(w.t, "the worker did not start")
}

// stop stops the program as the kubelet does.
func (w *worker) stop() {
	w.t.Helper()
	require.NoError(w.t, w.command.Process.Signal(syscall.SIGTERM))
	require.NoError(w.t, w.command.Wait())
}

func (w *worker) get(path string) (status int, body string) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+w.address+path, nil)
	require.NoError(w.t, err)
	answer, err := http.DefaultClient.Do(request)
	require.NoError(w.t, err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	require.NoError(w.t, err)
	return answer.StatusCode, string(text)
}

// await waits until an answer of the admin port is as wanted.
func (w *worker) await(path string, wanted func(status int, body string) bool) string {
	w.t.Helper()
	var last string
	require.Eventually(w.t, func() bool {
		status, body := w.get(path)
		last = body
		return wanted(status, body)
	}, time.Minute, 20*time.Millisecond, "%s", path)
	return last
}

func (w *worker) publish(dataset, body string) {
	w.t.Helper()
	_, err := w.js.Publish(w.t.Context(), "capi.events."+dataset, []byte(body))
	require.NoError(w.t, err)
}

func event(id string, at time.Time) string {
	return fmt.Sprintf(`{"event_name":"Purchase","event_id":%q,"event_time":%d,"action_source":"business_messaging",
		"messaging_channel":"whatsapp","user_data":{"whatsapp_business_account_id":"102290129340398","ctwa_clid":"ARAkLk"},
		"custom_data":{"currency":"EUR","value":12.5}}`, id, at.Unix())
}

// The probes of the chart answer on the program, and the program takes the
// arguments of the chart.
func TestTheProbesAnswer(t *testing.T) {
	t.Parallel()
	w := startWorker(t)
	container := w.pod.Containers[0]
	for _, probe := range []*corev1.Probe{container.StartupProbe, container.LivenessProbe, container.ReadinessProbe} {
		require.Equal(t, "admin", probe.HTTPGet.Port.String())
		w.await(probe.HTTPGet.Path, func(status int, _ string) bool { return status == http.StatusOK })
	}
	w.stop()
}
