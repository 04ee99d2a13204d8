package streams_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
)

// A request is begun, made and confirmed within a claim's time, and that within
// AckWait.
func TestTheDefaultsHold(t *testing.T) {
	t.Parallel()
	cfg := streams.Default()
	require.NoError(t, cfg.Validate())
	require.Equal(t, 5*time.Second, cfg.ToBegin())
	require.Equal(t, 25*time.Second, cfg.ClaimLease())
	require.Equal(t, []string{"CAPI", "CAPI_PARKED", "CAPI_DLQ"},
		[]string{cfg.Name(streams.Events), cfg.Name(streams.Parked), cfg.Name(streams.DeadLetters)})
	require.Equal(t, deadletter.Streams{
		Letters: "CAPI_DLQ", LettersSubject: "capi.dead", Parked: "CAPI_PARKED", ParkedSubject: "capi.parked",
	}, cfg.Letters())
}
