package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/clicks"
)

// A receiver has exactly the rights that the documentation lists, and uses every one of
// them.
func TestTheRightsOfAReceiverAreEnoughAndNeeded(t *testing.T) {
	t.Parallel()
	const role = "Receiver of webhooks"
	g := guard(t, func(cfg *config.Config) { cfg.Attribution.Enabled = true })
	g.config.Attribution.KeyFile = g.file("people.keys", "k1 "+fmt.Sprintf("%043d=", 7))
	kept := g.config.Clicks()
	_, _, err := clicks.Ensure(t.Context(), g.js, &kept)
	require.NoError(t, err)
	g.listen()
	g.asRole(role)
	g.config.NATS.Manage = false
	w := g.launchVerb(shipped, "webhooks")
	g.await("the receiver is ready", func() bool { return w.readiness().Ready })
	_, err = g.js.PublishMsg(t.Context(), &nats.Msg{Subject: "capi.webhooks.102", Data: fmt.Appendf(nil,
		`{"channel":"whatsapp","account":"102","wa_id":"491","ctwa_clid":"c","at":%d}`, time.Now().Unix())})
	require.NoError(t, err)
	g.await("it is taken, and in Redis", func() bool {
		consumer, err := g.js.Consumer(t.Context(), "CAPI_CLICKS", "capi-dispatcher")
		return err == nil && g.size("CAPI_WEBHOOKS") == 0 && consumer.CachedInfo().AckFloor.Stream == 1
	})
	g.requireNothingDenied()
	g.requireUsed(role)
	w.stop()
}
