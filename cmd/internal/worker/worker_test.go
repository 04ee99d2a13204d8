package worker_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/logging"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/worker"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

// What the admin port must never show: every secret that the worker has, and
// what it is sent.
const (
	token         = "EAABsbCS1iHgBO0ZBtheTokenOfTheDataset"
	natsPassword  = "nats-password"
	redisPassword = "redis-password"
	proxyPassword = "proxy-password"
	person        = "person@example.com"
)

// A worker that can reach nobody tells why, and gives nothing away by it.
func TestTheAdminPortGivesNothingAway(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://someone:"+proxyPassword+"@127.0.0.1:1")
	nats, redis := natstest.Start(t), miniredis.RunT(t)
	redis.RequireUserAuth("capi", redisPassword)
	port := start(t, configuration(t, nats, redis))
	port.await(`"ready": true`)

	redis.RequireUserAuth("capi", "another-"+redisPassword)
	redis.Close()
	require.NoError(t, redis.Restart()) // new connections have to authenticate
	publish(t, nats)
	port.await("WRONGPASS")
	port.requireNothingSecret()

	redis.RequireUserAuth("capi", redisPassword)
	port.await("proxyconnect")
	port.requireNothingSecret()

	nats.Stop()
	port.await("not connected")
	port.requireNothingSecret()
}

// With Redis on a dead port, a worker with nothing to do does not say that it is
// ready: nothing could be sent.
func TestNotReadyBeforeRedisHasAnswered(t *testing.T) {
	nats, redis := natstest.Start(t), miniredis.RunT(t)
	redis.RequireUserAuth("capi", redisPassword)
	cfg := configuration(t, nats, redis)
	redis.Close()
	port := start(t, cfg)
	require.Contains(t, port.get("/readyz"), `"ready": false`)
	port.await("connection refused")
	require.Contains(t, port.get("/readyz"), `"ready": false`)
	require.NoError(t, redis.Restart())
	port.await(`"ready": true`)
	require.Contains(t, port.get("/readyz"), "not tried yet", "nothing has been sent")
}

// publish publishes events with things in them that do not belong there.
func publish(t *testing.T, nats *natstest.Server) {
	t.Helper()
	js := nats.JetStream()
	for i := range 20 {
		body := fmt.Sprintf(`{"event_name":"Lead","event_time":%d,"event_id":"%d","action_source":"email","user_data":{"em":"%s"},"access_token":"%s"}`,
			time.Now().Unix(), i, person, token)
		_, err := js.Publish(t.Context(), "capi.events.1234567890", []byte(body))
		require.NoError(t, err)
	}
}

// port is the admin port of a running worker.
type port struct {
	t       *testing.T
	address string
}

// start runs a worker, which has to end well with the test.
func start(t *testing.T, cfg *config.Config) port {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	started, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- worker.Run(ctx, cfg, "test", logging.Nop(), func(address string) { started <- address })
	}()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	return port{t, <-started}
}

func (p port) get(path string) string {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.address+path, nil)
	require.NoError(p.t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(p.t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(p.t, err)
	require.NotEmpty(p.t, text, path)
	return string(text)
}

// await waits until readiness says something.
func (p port) await(text string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return strings.Contains(p.get("/readyz"), text) }, 30*time.Second, 20*time.Millisecond, text)
}

func (p port) requireNothingSecret() {
	p.t.Helper()
	for _, path := range []string{"/readyz", "/metrics", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2"} {
		text := p.get(path)
		for _, hidden := range []string{token, natsPassword, redisPassword, proxyPassword, person} {
			require.NotContains(p.t, text, hidden, path)
		}
	}
}

// configuration is of a worker that has a secret for everything.
func configuration(t *testing.T, nats *natstest.Server, redis *miniredis.Miniredis) *config.Config {
	t.Helper()
	tokens := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(tokens, "default"), []byte(token), 0o600))
	cfg := config.Default()
	cfg.NATS.URL = secret.URLs(strings.Replace(nats.URL(), "://", "://capi:"+natsPassword+"@", 1))
	cfg.Redis.URL = secret.URLs("redis://capi:" + redisPassword + "@" + redis.Addr() + "/0")
	cfg.Graph.TokenDir, cfg.Graph.URL, cfg.Graph.HashPersonalData = tokens, "https://graph.example", true
	cfg.Admin = config.Admin{Address: "127.0.0.1:0", Pprof: true}
	cfg.Delivery.DrainTimeout = time.Second
	return &cfg
}
