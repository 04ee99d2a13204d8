package admin_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/admin"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts an admin port and returns a function that asks it.
func serve(t *testing.T, pprof bool, conditions ...health.Condition) func(path string) (int, string) {
	t.Helper()
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("some_metric 1\n")) })
	server, err := admin.Start(t.Context(), config.Admin{Address: "127.0.0.1:0", Pprof: pprof}, admin.Pages{Metrics: metrics, Conditions: func() []health.Condition { return conditions }, LogLevel: zap.NewAtomicLevel()})
	require.NoError(t, err)
	client := &http.Client{}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		require.NoError(t, server.Stop(context.WithoutCancel(t.Context())))
	})
	return func(path string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+server.Address()+path, nil)
		require.NoError(t, err)
		response, err := client.Do(request)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(body)
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	fine := health.Condition{Name: "nats", OK: true, Since: time.Unix(1_800_000_000, 0).UTC()}
	away := health.Condition{Name: "redis", Reason: "nobody answers", Since: time.Unix(1_800_000_000, 0).UTC()}

	status, body := serve(t, false, fine)("/readyz")
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"ready":true,"conditions":[{"name":"nats","ok":true,"since":"2027-01-15T08:00:00Z"}]}`, body)

	status, body = serve(t, false, fine, away)("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.JSONEq(t, `{"ready":false,"conditions":[{"name":"nats","ok":true,"since":"2027-01-15T08:00:00Z"},
		{"name":"redis","ok":false,"reason":"nobody answers","since":"2027-01-15T08:00:00Z"}]}`, body)

	short := health.Condition{Name: "storage", Warning: true, Reason: "room runs short"}
	status, body = serve(t, false, fine, short)("/readyz")
	require.Equal(t, http.StatusOK, status, "to take the worker out would not help")
	require.JSONEq(t, `{"ready":true,"conditions":[{"name":"nats","ok":true,"since":"2027-01-15T08:00:00Z"},
		{"name":"storage","ok":false,"warning":true,"reason":"room runs short"}]}`, body)
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	get := serve(t, false)
	status, body := get("/livez")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "ok\n", body)
	status, body = get("/metrics")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "some_metric 1\n", body)
	status, _ = get("/debug/pprof/")
	require.Equal(t, http.StatusNotFound, status, "the profiler has to be asked for")
	status, _ = serve(t, true)("/debug/pprof/")
	require.Equal(t, http.StatusOK, status)
}

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	first, err := admin.Start(t.Context(), config.Admin{Address: "127.0.0.1:0"}, admin.Pages{Metrics: http.NotFoundHandler()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, first.Stop(context.WithoutCancel(t.Context()))) })
	_, err = admin.Start(t.Context(), config.Admin{Address: first.Address()}, admin.Pages{Metrics: http.NotFoundHandler()})
	require.ErrorContains(t, err, "admin.address: ")
}

// The level of the log is changed from the machine itself, and from nowhere else.
func TestTheLogLevelIsChangedFromThisMachineOnly(t *testing.T) {
	t.Parallel()
	level := zap.NewAtomicLevel()
	for _, tt := range []struct {
		from string
		code int
		want zapcore.Level
	}{
		{"10.1.2.3:1234", http.StatusForbidden, zap.InfoLevel},
		{"[fd00::1]:1234", http.StatusForbidden, zap.InfoLevel},
		{"127.0.0.1:1234", http.StatusOK, zap.DebugLevel},
		{"[::ffff:127.0.0.1]:1234", http.StatusOK, zap.DebugLevel},
	} {
		level.SetLevel(zap.InfoLevel)
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/log/level", strings.NewReader(`{"level":"debug"}`))
		request.RemoteAddr = tt.from
		answer := httptest.NewRecorder()
		admin.Routes(config.Admin{}, admin.Pages{Metrics: http.NotFoundHandler(), LogLevel: level}).ServeHTTP(answer, request)
		require.Equal(t, tt.code, answer.Code, tt.from)
		require.Equal(t, tt.want, level.Level(), tt.from)
	}
}
