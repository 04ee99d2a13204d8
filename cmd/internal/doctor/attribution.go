package doctor

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/keyring"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

// examineAttribution looks at the files that attribution and the receiver of webhooks
// need. Those of the receiver may be where the receiver runs, and nowhere else.
func (r *report) examineAttribution(cfg *config.Config) {
	if !cfg.Attribution.Enabled {
		return
	}
	if _, err := keyring.Read(cfg.Attribution.KeyFile); err != nil {
		r.fault("attribution", "attribution.key_file: "+err.Error(), "make a key as docs/attribution.md has it, the same for workers and receivers")
	} else {
		r.ok("attribution", "attribution.key_file can be read")
	}
	accounts := len(cfg.Assets.WhatsAppAccounts) + len(cfg.Assets.Pages) + len(cfg.Assets.Instagram)
	if accounts == 0 {
		r.warn("attribution", "assets is empty: nobody is looked up for any event",
			"say under assets which dataset each account belongs to")
	}
	for _, file := range append([]string{cfg.Webhooks.VerifyTokenFile}, cfg.Webhooks.AppSecretFiles...) {
		if _, err := secret.ReadFile(file); file != "" && err != nil {
			r.warn("webhooks", err.Error(), "put it where capi-dispatcher webhooks runs; elsewhere it is not needed")
		}
	}
}

// examineClicks looks at the streams of what webhooks tell, and how much of it has yet
// to come into Redis.
func (r *report) examineClicks(ctx context.Context, cfg *config.Config, nats *connect.Connection) {
	if !cfg.Attribution.Enabled {
		return
	}
	for _, name := range []string{cfg.Attribution.Stream, cfg.Attribution.Queue} {
		var consumer jetstream.Consumer
		err := nats.Rights.Do(ctx, func(ctx context.Context) (err error) {
			consumer, err = nats.Consumer(ctx, name, cfg.NATS.Consumer)
			return err
		})
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrConsumerNotFound):
			r.warn("clicks", fmt.Sprintf("stream %s has no consumer %s yet: no receiver has run", name, cfg.NATS.Consumer),
				"start capi-dispatcher webhooks")
		case err != nil:
			r.warn("clicks", fmt.Sprintf("stream %s cannot be looked at: %v", name, err),
				"run doctor as the receiver's user to see it")
		default:
			r.ok("clicks", "stream %s: %d messages wait for a receiver", name, consumer.CachedInfo().NumPending)
		}
	}
}
