package dispatcher

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/epoch"
)

// newEpochs watches that no message is acknowledged for one of another stream.
func newEpochs(js jetstream.JetStream, log *zap.Logger) *epoch.Watch {
	look := func(ctx context.Context, name string) (*jetstream.StreamInfo, error) {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return nil, err
		}
		return stream.CachedInfo(), nil
	}
	return epoch.New(look, func(stream string) {
		log.Warn("the stream has been deleted, created anew or set back; what is in hand of the old one is sent, if it still can be, and neither acknowledged nor given back",
			zap.String("stream", stream))
	})
}

// seen is told what a stream says of itself, now and again.
func (d *Dispatcher) seen(info *jetstream.StreamInfo) {
	d.epochs.Heard(info)
	d.settings.Look(info)
}

// doubtOnReconnect asks the streams whenever the connection has been away: what
// comes back may be another server.
func doubtOnReconnect(ctx context.Context, conn *nats.Conn, epochs *epoch.Watch) {
	changes := conn.StatusChanged(nats.RECONNECTING, nats.CONNECTED)
	defer conn.RemoveStatusListener(changes)
	for {
		select {
		case <-changes:
			epochs.Doubt()
		case <-ctx.Done():
			return
		}
	}
}
