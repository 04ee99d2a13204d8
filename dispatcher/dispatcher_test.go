package dispatcher_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
)

func TestEventsReachMeta(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(dataset, event("a"), body(event("b"), event("c")), event("d"))
	b.awaitAccepted(4)
	b.awaitQuiet()
	b.requireOnce("a", "b", "c", "d")
	b.requireBalance()
	require.EqualValues(t, 4, b.books("capi.events.settled", attribute.String("outcome", "accepted")))
	require.Empty(t, b.letters())
}
