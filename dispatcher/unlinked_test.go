package dispatcher_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
)

// An account that stays unlinked makes dead letters after UnlinkedMax,
// and they are sent once it is linked and they are replayed.
func TestAnUnlinkedAccountIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) {
		o.cfg.Delivery.UnlinkedMax = 4 * time.Second
		o.cfg.Delivery.Park = retry.Backoff{Initial: time.Second, Max: time.Second}
	})
	b.LinkAssets(dataset, "555")
	b.publish(dataset, body(events(3)...))
	letters := b.awaitLetters(3)
	b.awaitQuiet()
	for _, letter := range letters {
		require.Equal(t, deadletter.Unlinked, letter.Reason)
		require.Contains(t, letter.Faults[0].Message, "events wait no longer")
		require.GreaterOrEqual(t, letter.DeadLetteredAt.Sub(letter.FirstSeen), 4*time.Second)
	}
	b.LinkAssets(dataset)
	b.replay(letters[0].Sequence)
	b.awaitAccepted(1)
}
