package streams_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
)

func TestErrorsInWords(t *testing.T) {
	t.Parallel()
	for cause, want := range map[error]string{
		nats.ErrReconnectBufExceeded:               "not connected to NATS",
		nats.ErrNoResponders:                       "start nats-server with -js",
		jetstream.ErrJetStreamNotEnabledForAccount: "the account has no JetStream",
		nats.ErrTimeout:                            "asking: nats: timeout",
		jetstream.ErrStreamNotFound:                "stream not found",
	} {
		said := streams.InWords(fmt.Errorf("asking: %w", cause))
		require.Contains(t, said.Error(), want)
		require.ErrorIs(t, said, cause, "it stays what it is")
	}
	require.NoError(t, streams.InWords(nil))
}
