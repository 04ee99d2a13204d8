package e2e_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/internal/porttest"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

// A worker whose Redis has never answered is not ready, and the reason says so: a
// roll-out with a wrong address of Redis does not go on. Meta is asked nothing
// before there are events, which is said, and keeps nobody from being ready.
func TestAWorkerIsReadyOnceItsServersHaveAnswered(t *testing.T) {
	t.Parallel()
	r := setup(t)
	lead, nobody := r.lead, porttest.Port(t)
	r.lead = func(cfg *config.Config) {
		lead(cfg)
		cfg.Redis.URL = secret.URLs(fmt.Sprintf("redis://127.0.0.1:%d/0", nobody))
	}
	r.graph.goAway(0)
	w := r.launch(program)
	r.await("it has found out that nobody is there", func() bool { return w.readiness().reason("redis") != "" && w.readiness().ok("events") })
	stands := w.readiness()
	require.False(t, stands.Ready)
	require.False(t, stands.ok("redis"))
	require.True(t, stands.ok("nats"))
	require.True(t, stands.ok("graph"))
	require.Equal(t, "not tried yet", stands.reason("graph"))
	w.stop()

	r.lead = lead
	w = r.start()
	stands = w.readiness()
	require.True(t, stands.Ready)
	require.True(t, stands.ok("redis"))
	require.Empty(t, stands.reason("redis"))
	require.Equal(t, "not tried yet", stands.reason("graph"), "ready, and it is said that nobody has tried")
}
